"""The convolutional layers that read the pictures of a video, without torch; equations in `rnnkit.models.frame_cnn`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rnnkit.bundle.schema import CNN_STRIDE
from rnnkit.errors import ArgumentError, ShapeError
from rnnkit.kernels.heads import PackedConvolution
from rnnkit.kernels.recurrent import Precision


class FrameCnn:
    """Pictures in, what the recurrent layers read out; each picture's bits are its own, whatever stands beside it.

    Args: shape: height, width and channels.  tensors: with `cnn.layers.{i}.weight` and `.bias`, float32.
    """

    def __init__(self, shape: tuple[int, ...], tensors: Mapping[str, np.ndarray], precision: Precision) -> None:
        self.shape = shape
        self._layers = []
        while (weight := tensors.get(f"cnn.layers.{len(self._layers)}.weight")) is not None:
            bias, padding = tensors[f"cnn.layers.{len(self._layers)}.bias"], weight.shape[1] // 2
            window = {"stride": CNN_STRIDE, "padding": padding, "precision": precision}
            self._layers.append(PackedConvolution(weight, bias, **window))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scaled float32 [T, B, height, width, channels] -> [T, B, F]."""
        T, B = x.shape[:2]
        x = x.reshape(T * B, *self.shape)
        for layer in self._layers:
            x = np.maximum(layer(x), 0)
        return x.reshape(T, B, math.prod(x.shape[1:]))

    def checked(self, pictures: np.ndarray, name: str) -> np.ndarray:
        """Pictures as a caller gives them: [..., height, width, channels], uint8 as they are, others float32.

        Raises: ShapeError; ArgumentError for a number that is not finite. Args: name: of the argument, in a message.
        """
        if pictures.dtype.kind not in "fu" or (pictures.dtype.kind == "u" and pictures.dtype != np.uint8):
            raise ShapeError(f"{name} is {pictures.dtype}; wanted are bytes (uint8), or floats of 0 to 1")
        if pictures.shape[-3:] != self.shape:
            raise ShapeError(
                f"{name} has the shape {list(pictures.shape)}, its last axes must be {list(self.shape)}: height, "
                "width, channels"
            )
        if pictures.dtype == np.uint8:
            return pictures
        if not np.isfinite(pictures).all():
            raise ArgumentError(f"{name} holds a value that is not finite; fill it in, or leave it out")
        return pictures.astype(np.float32)


def brightness(pictures: np.ndarray) -> np.ndarray:
    """Bytes as float32 of 0 to 1; floats as they are."""
    return pictures.astype(np.float32) / np.float32(255) if pictures.dtype == np.uint8 else pictures
