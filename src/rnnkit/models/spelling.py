"""Characters: a word's vector out of how it is spelled, beside its row in the table."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.nn import Recurrent


class Characters(nn.Module):
    """Words as they are spelled: [T, B, W] ids + 1 -> [T, B, 2*S], each different word read once.

    The last h, forward and backward, of an LSTM of S units over the rows, Q wide, of K characters.

    Source: Lample et al. 2016, arXiv:1603.01360, section 4.1.
    """

    def __init__(self, num_characters: int, *, embedding_size: int, hidden_size: int, precision: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_characters, embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.3)
        how = {"bidirectional": True, "precision": precision, "forget_bias": 1.0}
        self.recurrent = Recurrent("lstm", embedding_size, hidden_size, **how)

    def forward(self, spelled: Tensor) -> Tensor:
        T, B, W = spelled.shape
        different, which = torch.unique(spelled.reshape(T * B, W), dim=0, return_inverse=True)
        lengths = (different > 0).sum(1)
        longest = int(lengths.max()) if len(lengths) else 0
        ids = (different[:, :longest].T - 1).clamp(min=0)
        _, after = self.recurrent(F.embedding(ids, self.embedding.weight), lengths=lengths)
        read = torch.cat([parts["h"] for parts in after.layers], dim=-1)
        return F.embedding(which, read).reshape(T, B, read.shape[1])
