"""Reader: what acceptor and transducer have in common: whole sequences of tokens or frames through recurrent layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.models.recurrent import RecurrentConfig, RecurrentModel, check_sizes
from rnnkit.models.spelling import Characters
from rnnkit.nn import Options, linear
from rnnkit.nn.dropout import check_probability
from rnnkit.state import State


@dataclass(frozen=True, kw_only=True)
class ReaderConfig(RecurrentConfig):
    """Everything that fixes a Reader's shape and regularisation; plain values, ready for JSON.

    Args:
        num_labels: C. vocab_size: V, for sequences of tokens, with embedding_size E; or input_size: I, for frames.
        num_characters: K of a model of words that also reads their characters; 0: it does not.
        character_embedding_size, character_hidden_size: Q and S of the layer that reads them.
        num_features, features_per_word, feature_embedding_size: rows and width of the table of the features of a word
            (its shape, its ends), and how many each has, N; 0: none.
        bidirectional: whether a second set of layers reads from the end; hidden_size is that of each direction.
        output_dropout: on what the head reads. locked_dropout: of `dropout` and `input_dropout`.
        label_smoothing: ε; the targets are (1 − ε) on the label and ε / C on every one (Szegedy et al. 2016).
        others: as of `RecurrentConfig`.
    Raises: ConfigError, naming the field.
    """

    locked = ("dropout", "input_dropout")
    least_labels = 2  # of which one is decided on

    num_labels: int
    vocab_size: int = 0
    input_size: int = 0
    hidden_size: int | tuple[int, ...] = 128
    bidirectional: bool = True
    label_smoothing: float = 0.0
    num_characters: int = 0
    character_embedding_size: int = 0
    character_hidden_size: int = 0
    num_features: int = 0
    features_per_word: int = 0
    feature_embedding_size: int = 0

    def __post_init__(self) -> None:
        check_sizes("input_size", self.input_size, least=0)
        super().__post_init__()
        if self.num_labels < self.least_labels:
            raise ConfigError(
                f"num_labels={self.num_labels}: nothing can be decided with fewer than {self.least_labels} labels"
            )
        if bool(self.vocab_size) == bool(self.input_size):
            raise ConfigError(
                f"vocab_size={self.vocab_size}, input_size={self.input_size}: give one, for tokens or for frames"
            )
        if bool(self.embedding_size) != bool(self.vocab_size):
            raise ConfigError(f"embedding_size={self.embedding_size}: tokens need one of at least 1, frames have none")
        if not self.vocab_size and (self.embedding_dropout or self.word_dropout):
            raise ConfigError("embedding_dropout and word_dropout act on tokens, not on frames; use input_dropout")
        if self.num_characters and not self.vocab_size:
            raise ConfigError(f"num_characters={self.num_characters}: frames have no characters; leave it out")
        for name in ("character_embedding_size", "character_hidden_size"):
            if bool(getattr(self, name)) != bool(self.num_characters):
                raise ConfigError(f"{name}={getattr(self, name)} goes with num_characters={self.num_characters}")
        if self.num_features and not self.vocab_size:
            raise ConfigError(f"num_features={self.num_features}: frames have no such features; leave it out")
        for name in ("features_per_word", "feature_embedding_size"):
            if bool(getattr(self, name)) != bool(self.num_features):
                raise ConfigError(f"{name}={getattr(self, name)} goes with num_features={self.num_features}")
        object.__setattr__(self, "label_smoothing", check_probability("label_smoothing", self.label_smoothing))

    @property
    def layer_options(self) -> Options:
        """What the recurrent layers take beside sizes and `dropout`: output_dropout acts on what the head reads."""
        return {**super().layer_options, "output_dropout": 0.0}

    @property
    def width(self) -> int:
        """The width of the layers' output at every step: D*H, or D*P of projected ones."""
        return (1 + self.bidirectional) * self.output_size

    @property
    def beside_embedding(self) -> int:
        """The width of what is read of a word beside its embedding."""
        return 2 * self.character_hidden_size + self.features_per_word * self.feature_embedding_size


class Reader(RecurrentModel):
    """Embedding or scaling, then recurrent layers in one or two directions; `Acceptor` and `Transducer` add the rest.

    x_t = E[ids_t], beside it the rows of a word's features (with `num_features`) and `Characters` of how it is spelled
    (with `num_characters`); or (frame_t − mean) / deviation;  h_1 … h_T = top layer over x, [D*H] wide

    A word with features or characters is a row of 1 + N + W integers: its id, its features' ids, then its characters'
    ids + 1, and 0 behind its end.

    Parameters: `embedding.weight` [V, E], or buffers `scale.mean` and `scale.deviation` [I]; `recurrent.*`;
    `features.weight` [num_features, feature_embedding_size]; `characters.embedding.weight` [K, Q],
    `characters.recurrent.*`.

    Start: recurrent weights as `rnnkit.nn.Recurrent`, embedding N(0, 0.1²), head uniform in ±1/√F with bias 0.
    """

    head: nn.Linear

    def __init__(self, config: ReaderConfig, *, more_inputs: int = 0, scaled: int = 0) -> None:
        """Args: more_inputs: how many numbers `_inputs` of a subclass puts in place of a frame, less I.
        scaled: the last axis of frames, of which each entry has a scale; 0: I.
        """
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size) if config.vocab_size else None
        self.scale = None if config.vocab_size else Scale(scaled or config.input_size)
        read = (config.embedding_size or config.input_size) + config.beside_embedding + more_inputs
        self._add_layers(read, bidirectional=config.bidirectional)
        self.characters = self.features = None
        if config.num_characters:
            self.characters = Characters(
                config.num_characters,
                embedding_size=config.character_embedding_size,
                hidden_size=config.character_hidden_size,
                precision=config.precision,
            )
        if config.num_features:
            self.features = nn.Embedding(config.num_features, config.feature_embedding_size)
            nn.init.normal_(self.features.weight, std=0.1)

    def _add_head(self, num_features: int) -> None:
        """The last parameters to be drawn."""
        self.head = nn.Linear(num_features, self.config.num_labels)
        nn.init.zeros_(self.head.bias)
        if self.embedding is not None:  # N(0, 1) would drown the few updates that a rare word gets
            nn.init.normal_(self.embedding.weight, std=0.1)

    def _read(self, inputs: Tensor, state: State | None, lengths: Tensor) -> tuple[Tensor, State]:
        """ids [T, B] or frames [T, B, I] -> the top layer's [T, B, D*H], 0 behind a row's end, and the State."""
        inputs, table = self._inputs(inputs)
        return self.recurrent(inputs, state, lengths=lengths, embedding=table)

    def _inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the layers read: scaled frames; words with what is read beside them; or ids, while training some of
        them dropped, and the table.
        """
        if self.scale is not None:
            return self.scale(inputs), None
        if self.characters is None and self.features is None:
            return self._dropped_out(inputs)
        words, table = self._dropped_out(inputs[..., 0])
        assert table is not None
        read, first = [F.embedding(words, table)], 1 + self.config.features_per_word
        if self.features is not None:
            read.append(F.embedding(inputs[..., 1:first], self.features.weight).flatten(2))
        if self.characters is not None:
            read.append(self.characters(inputs[..., first:]))
        return torch.cat(read, dim=-1), None

    def loss(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats of every decision [T, B]: −log p(label), while training against smoothed labels.

        Args: features: from `forward`, of an acceptor with T = 1. labels: [T, B]. weights: how much each will count;
            nothing is left out for it.
        """
        log_probs = self.log_prob(features)
        losses = -log_probs.gather(-1, labels[..., None])[..., 0]
        if self.training and (share := self.config.label_smoothing):
            losses = (1 - share) * losses - share * log_probs.mean(-1)
        return losses

    def logits(self, features: Tensor) -> Tensor:
        """U features + c, [T, B, C]."""
        return linear(features, self.head.weight, self.head.bias, precision=self.config.precision)

    def log_prob(self, features: Tensor) -> Tensor:
        """Log-probabilities [T, B, C] of the labels."""
        return self.logits(features).log_softmax(-1)


class Scale(nn.Module):
    """(x − mean) / deviation, from training frames or their targets: buffers, which no optimiser touches."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(input_size))
        self.register_buffer("deviation", torch.ones(input_size))

    def fit(self, frames: np.ndarray) -> None:
        """Of the training frames [N, I]; a dimension that never changes keeps the deviation 1."""
        self._set(frames.mean(0, dtype=np.float64), frames.std(0, dtype=np.float64))

    def fit_bytes(self, pictures: Iterable[np.ndarray]) -> None:
        """Of training pictures, uint8 [..., channels], as numbers of 0 to 1."""
        counts = np.zeros((len(self.mean), 256))
        for of_one in pictures:
            counts += [np.bincount(of_one[..., c].reshape(-1), minlength=256) for c in range(len(counts))]
        shares, values = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
        mean = shares @ values
        self._set(mean, np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1)))

    def _set(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def steps_of(inputs: Tensor, lengths: Any) -> Tensor:
    """The lengths [B] of a batch: `lengths`, or all of its T steps."""
    T, B = inputs.shape[:2]
    return torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
