"""Transducer: a model that reads a sequence, of words or of frames of numbers, and says something at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnkit.errors import ConfigError
from rnnkit.models.frame_cnn import FrameCnn, num_features
from rnnkit.models.reader import Reader, ReaderConfig, Scale, steps_of
from rnnkit.models.recurrent import check_sizes
from rnnkit.nn.dropout import dropout
from rnnkit.state import State

NO_TARGET = -1  # stands where a step has no label, as behind a row's end
TARGETS = ("label", "labels", "numbers")


@dataclass(frozen=True, kw_only=True)
class TransducerConfig(ReaderConfig):
    """As `ReaderConfig`, and what frames are and how outputs depend on each other.

    Args:
        frame_shape: height, width and channels of frames that are pictures, of input_size numbers in all; (): they are
            none. cnn_channels, cnn_kernel: of the convolutional layers that read them, see `FrameCnn`.
        crf: score whole sequences of labels, see `Transducer`.
        scheme: "bio", "iob1" or "bioes": what the run half holds predictions to; None: nothing.
        outside_bias: with a scheme, what the run half lowers the score of O by when it predicts; in nats.
        targets: of frames: "label", one of the labels; "labels", each of them there or not; or "numbers", as many.
    Raises: ConfigError, naming the field.
    """

    lists = (*ReaderConfig.lists, "frame_shape", "cnn_channels")

    frame_shape: tuple[int, ...] = ()
    cnn_channels: tuple[int, ...] = ()
    cnn_kernel: int = 3
    crf: bool = False
    scheme: str | None = None
    outside_bias: float = 0.0
    targets: str = "label"

    @property
    def least_labels(self) -> int:  # type: ignore[override]
        return 2 if self.targets == "label" else 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets not in TARGETS:
            raise ConfigError(f"targets={self.targets!r} must be one of {', '.join(TARGETS)}")
        if self.targets != "label":
            of_one_label = {"crf": self.crf, "scheme": self.scheme, "label_smoothing": self.label_smoothing}
            for name, value in {**of_one_label, "vocab_size": self.vocab_size}.items():
                if value:
                    what = "has no tokens" if name == "vocab_size" else "is for one label a frame"
                    raise ConfigError(f"{name}={value!r}: a model of targets {self.targets!r} {what}; leave it out")
        for name in ("frame_shape", "cnn_channels", "cnn_kernel"):
            check_sizes(name, getattr(self, name), least=1)
        if self.frame_shape and (len(self.frame_shape) != 3 or math.prod(self.frame_shape) != self.input_size):
            raise ConfigError(
                f"frame_shape={self.frame_shape} are height, width and channels, of input_size={self.input_size} in all"
            )
        if bool(self.cnn_channels) != bool(self.frame_shape):
            raise ConfigError(
                f"cnn_channels={self.cnn_channels}, frame_shape={self.frame_shape}: pictures, and nothing else, are "
                "read by convolutional layers; give both or neither"
            )
        if self.cnn_kernel % 2 == 0:
            raise ConfigError(f"cnn_kernel={self.cnn_kernel} must be odd: a window has a middle")
        if self.crf and self.label_smoothing:
            raise ConfigError(f"label_smoothing={self.label_smoothing} has no effect on whole sequences: leave it out")


class Transducer(Reader):
    """Embedding, spelling or scaling, recurrent layers in one or two directions, and an output for every step.

        features, _ = model(inputs, lengths=lengths)   # ids [T, B] or frames [T, B, I] -> [T, B, D*H]
        losses = model.loss(features, labels)          # nats per step [T, B]

    x_t as of `Reader`; or of pictures `FrameCnn` of (frame_t − mean) / deviation, with both for each channel.

    h_1 … h_T = top layer over x;  logits_t = U h_t + c;  and

        p(y | x) = Π_t softmax(logits_t)[y_t], or with `crf`
        p(y | x) ∝ exp(Σ_t logits_t[y_t] + start[y_1] + Σ_{t>1} transition[y_{t-1}, y_t] + end[y_T])

    With targets "labels" y_t holds K labels that are there or not, p(y_t | x) = Π_k σ(±logits_tk), + where one is; with
    "numbers" K of them, said as ŷ_t = mean + deviation · logits_t; the loss is 1/K Σ_k ((ŷ_tk − y_tk) / deviation_k)².

    Parameters: those of `Reader`; `cnn.layers.{i}.weight` and `.bias`, see `FrameCnn`; `head.weight` [C, D*H],
    `head.bias` [C]; `crf.start`, `crf.end` [C], `crf.transition` [C, C], from the row's label to the column's; buffers
    `target_scale.mean`, `target_scale.deviation` [C] of numbers.

    Source: Lample et al. 2016, arXiv:1603.01360 (CRF); Lafferty, McCallum and Pereira 2001 (CRF).
    """

    kind = "transducer"
    config_class = TransducerConfig

    def __init__(self, config: TransducerConfig) -> None:
        more = 0
        if config.frame_shape:
            more = num_features(config.frame_shape, config.cnn_channels) - config.input_size
        super().__init__(config, more_inputs=more, scaled=config.frame_shape[2] if config.frame_shape else 0)
        self.cnn = None
        if config.frame_shape:
            how = {"kernel": config.cnn_kernel, "precision": config.precision}
            self.cnn = FrameCnn(config.frame_shape, config.cnn_channels, **how)
        self._add_head(config.width)
        self.crf = _Crf(config.num_labels) if config.crf else None
        self.target_scale = Scale(config.num_labels) if config.targets == "numbers" else None

    def forward(self, inputs: Tensor, state: State | None = None, *, lengths: Any = None) -> tuple[Tensor, State]:
        """Read sequences.

        Args:    inputs: ids [T, B], words with characters [T, B, 1 + W], frames [T, B, I], or pictures [T, B, height,
                     width, channels], uint8 or of 0 to 1. state: what the rows have read, None: nothing. lengths: [B];
                     None: all T.
        Returns: what the outputs are made of, [T, B, D*H], and the layers' State after each row's last step.
        """
        hidden, after = self._read(inputs, state, steps_of(inputs, lengths))
        return dropout(hidden, self.config.output_dropout if self.training else 0.0), after

    def _inputs(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.cnn is not None:
            pictures = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
            scaled, _ = super()._inputs(pictures.flatten(0, 1))
            return self.cnn(scaled).unflatten(0, inputs.shape[:2]), None
        return super()._inputs(inputs)

    def loss(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Nats of every step [T, B], 0 where its label is `NO_TARGET`; of a CRF a sequence's mean at each of its steps.

        Of several labels the sum over them; of numbers the mean of their squared errors in deviations.

        Args: as of `Reader.loss`; of a CRF the steps without a label are those behind a row's end. labels: of several
            labels (0 or 1) or numbers [T, B, K], NaN at steps without them.
        """
        if self.config.targets != "label":
            return self._loss_of_several(features, labels)
        is_there = labels != NO_TARGET
        known = labels.clamp(min=0)
        if self.crf is None:
            return super().loss(features, known, weights) * is_there
        nats = self.crf(self.logits(features), known, is_there)
        return is_there * (nats / is_there.sum(0).clamp(min=1))

    def _loss_of_several(self, features: Tensor, targets: Tensor) -> Tensor:
        is_there = ~targets.isnan().any(-1)
        logits, known = self.logits(features), targets.nan_to_num(0.0)
        if self.target_scale is None:
            losses = F.binary_cross_entropy_with_logits(logits, known, reduction="none").sum(-1)
        else:
            losses = ((logits - self.target_scale(known)) ** 2).mean(-1)
        return losses * is_there

    def log_prob(self, features: Tensor) -> Tensor:
        """Log-probabilities [T, B, C] of the labels; of several that each is there. Raises: ConfigError of numbers."""
        if self.target_scale is not None:
            raise ConfigError("targets='numbers' have no probabilities; take numbers(features)")
        return F.logsigmoid(self.logits(features)) if self.config.targets == "labels" else super().log_prob(features)

    def numbers(self, features: Tensor) -> Tensor:
        """The numbers [T, B, K] that a model of them says. Raises: ConfigError of labels."""
        if self.target_scale is None:
            raise ConfigError(f"targets={self.config.targets!r} are no numbers; take log_prob(features)")
        return self.target_scale.mean + self.target_scale.deviation * self.logits(features)


class _Crf(nn.Module):
    """−log p(labels) of whole sequences under a linear-chain CRF; transitions start at 0."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.end = nn.Parameter(torch.zeros(num_labels))
        self.transition = nn.Parameter(torch.zeros(num_labels, num_labels))

    def forward(self, logits: Tensor, labels: Tensor, is_there: Tensor) -> Tensor:
        """logits [T, B, C], labels [T, B], is_there [T, B], True up to each row's end -> nats [B]; of no steps 0."""
        if not len(logits):
            return logits.new_zeros(logits.shape[1])
        own = logits.gather(-1, labels[..., None])[..., 0]
        own[1:] += self.transition[labels[:-1], labels[1:]]
        last = labels.gather(0, (is_there.sum(0) - 1).clamp(min=0)[None])[0]
        score = (own * is_there).sum(0) + self.start[labels[0]] + self.end[last]
        alpha = logits[0] + self.start
        for t in range(1, len(logits)):
            after = torch.logsumexp(alpha[:, :, None] + self.transition, dim=1) + logits[t]
            alpha = torch.where(is_there[t, :, None], after, alpha)
        return torch.where(is_there[0], torch.logsumexp(alpha + self.end, dim=-1) - score, 0.0)
