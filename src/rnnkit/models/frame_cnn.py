"""FrameCnn: the small convolutional network that turns each picture of a video into what the recurrent layers read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnnkit.nn import convolution

STRIDE = 2  # of every layer: each halves height and width


class FrameCnn(nn.Module):
    """x_0 = picture;  x_{i+1} = max(W_i * x_i + b_i, 0) with a window that moves by 2;  y = all numbers of the last x.

    The last layer is not averaged over places: where something is, is what a recurrent layer must see to tell motion.

    Parameters: `{i}.weight` [O_i, K, K, O_{i-1}], O_{-1} the picture's channels; `{i}.bias` [O_i].

    Start: W_i is N(0, 2 / (K·K·O_{i-1})) (He et al. 2015, arXiv:1502.01852), b_i is 0.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], *, kernel: int, precision: str) -> None:
        """Args: shape: height, width and channels of a picture. channels: O_i of every layer. kernel: K, odd."""
        super().__init__()
        self.layers = nn.ModuleDict()
        before = shape[2]
        for number, width in enumerate(channels):
            layer = nn.Module()
            layer.weight = nn.Parameter(torch.randn(width, kernel, kernel, before) * (2 / (kernel**2 * before)) ** 0.5)
            layer.bias = nn.Parameter(torch.zeros(width))
            self.layers[str(number)] = layer
            before = width
        self._how = {"stride": STRIDE, "padding": kernel // 2, "precision": precision}

    def forward(self, x: Tensor) -> Tensor:
        """[N, height, width, channels] -> [N, F], see `num_features`."""
        for layer in self.layers.values():
            x = torch.relu(convolution(x, layer.weight, layer.bias, **self._how))  # type: ignore[arg-type]
        return x.reshape(len(x), -1)


def num_features(shape: Sequence[int], channels: Sequence[int]) -> int:
    """F: what a FrameCnn gives for a picture."""
    height, width, _ = shape
    for _ in channels:
        height, width = -(-height // STRIDE), -(-width // STRIDE)  # an odd window with padding K // 2
    return height * width * channels[-1]
