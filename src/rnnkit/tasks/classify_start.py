"""What a classifier or a tagger starts from: the layers, the table and the vocabulary of a trained language model."""

from __future__ import annotations

from typing import Any, Self

import torch

from rnnkit.bundle import Bundle, read_bundle
from rnnkit.errors import ConfigError
from rnnkit.models.recurrent import RecurrentModel

_KINDS = ("language_model", "bidirectional_language_model")
# What the language model has decided.
_SHAPE = ("cell", "hidden_size", "num_layers", "proj_size", "embedding_size", "bias", "residual", "trainable_state",
          "layer_norm")  # fmt: skip


class LanguageModelStart:
    """A language model's bundle as the start of a classifier, and how its parts learn; `TaggerStart` is a tagger's.

    The forward layers and the table are the language model's, and so are layers that read backwards where it has such;
    readout, head and other layers that read backwards start as ever. A group of parameters learns at lr / rate_decay^k
    from epoch k·unfreeze_every on, with k counted from the head (and all else that is new) at 0 over the layers, the
    last first, down to the table.

    Source: Howard and Ruder 2018, "Universal language model fine-tuning for text classification", section 3.3.

    Raises: BundleError; ConfigError for a choice that the language model has already made otherwise.
    """

    noun = "classifier"

    @classmethod
    def of(cls, config: Any) -> Self | None:
        """What the configuration asks for; one without `transfer` (of a grammar, of frames) starts from nothing.

        Raises: ConfigError, BundleError.
        """
        transfer = getattr(config, "transfer", None)
        if transfer is None:
            return None
        if transfer.pretrain is not None:
            raise ConfigError(
                "transfer.pretrain is a step of its own, before this one: train with rnnkit train or with train of the "
                "class in Python, and leave it out of a dry run"
            )
        return None if transfer.from_run is None else cls(config)

    def __init__(self, config: Any) -> None:
        """Args: config: with sections `transfer` and `model`, and maybe one of a `tokenizer`."""
        assert config.transfer.from_run is not None
        self.transfer = config.transfer
        self.bundle: Bundle = read_bundle(config.transfer.from_run)
        where, found = config.transfer.from_run, self.bundle.config
        if found["kind"] not in _KINDS or self.bundle.tokenizer is None:
            raise ConfigError(f"{where} is of kind {found['kind']}; a {self.noun} starts from a language model")
        self.tokenizer = self.bundle.tokenizer
        theirs = {name: found["model"].get(name, type(config.model).model_fields[name].default) for name in _SHAPE}
        if not theirs["embedding_size"]:
            raise ConfigError(f"{where} reads one-hot tokens; a {self.noun} needs one with an embedding_size")
        chosen = {"model": (config.model, theirs)}
        if hasattr(config, "tokenizer"):
            chosen = {"tokenizer": (config.tokenizer, {"kind": self.tokenizer.kind}), **chosen}
        for section, (ours, fixed) in chosen.items():
            for name, field in type(ours).model_fields.items():
                value, wanted = getattr(ours, name), fixed.get(name, field.default)
                wanted = tuple(wanted) if isinstance(wanted, list) else wanted
                is_ours = section == "model" and name not in _SHAPE
                if not is_ours and value not in (field.default, wanted):
                    raise ConfigError(f"{section}.{name} is {value!r}, that of {where} is {wanted!r}: leave it out")
        if isinstance(theirs["hidden_size"], list):
            theirs["hidden_size"] = tuple(theirs["hidden_size"])
        self.config = config.model_copy(update={"model": config.model.model_copy(update=theirs)})
        check_directions(config.model.bidirectional, theirs["num_layers"], where)
        self.num_layers: int = theirs["num_layers"]
        self._names = {  # of the language model's parameters, in the classifier
            name: name.replace("reverse.", "recurrent.", 1) + "_reverse" if name.startswith("reverse.") else name
            for name in self.bundle.tensors
            if name.startswith(("recurrent.", "embedding."))
            or (config.model.bidirectional and name.startswith("reverse."))
        }

    def identity(self) -> dict[str, Any]:
        """What a resumed run must agree on: how the parts learn, and the digest of the language model."""
        learns = {f"transfer.{key}": getattr(self.transfer, key) for key in ("unfreeze_every", "rate_decay")}
        return {**learns, "language model": self.bundle.digest}

    def copy_to(self, model: RecurrentModel) -> None:
        """Put the language model's parameters in their places, and say how each part learns."""
        own = dict(model.named_parameters())
        with torch.no_grad():
            for theirs, name in self._names.items():
                self._place(name, torch.from_numpy(self.bundle.tensors[theirs].copy()), own[name])
        model.rate_of = self.rate_of

    def _place(self, name: str, theirs: torch.Tensor, ours: torch.Tensor) -> None:
        ours.copy_(theirs)

    def rate_of(self, name: str, epochs: float) -> float:
        """What the learning rate of a parameter is multiplied by, after so many epochs."""
        depth = 0
        if name.startswith("embedding."):
            depth = self.num_layers + 1
        elif name in self._names.values():
            depth = self.num_layers - int(name.removesuffix("_reverse").rpartition("_l")[2])
        if epochs < depth * self.transfer.unfreeze_every:
            return 0.0
        return self.transfer.rate_decay**-depth


def check_directions(bidirectional: bool, num_layers: int, where: str) -> None:
    """Raises: ConfigError for layers that read both directions over what a language model reads in one."""
    if bidirectional and num_layers > 1:
        raise ConfigError(
            f"{where} has {num_layers} layers, and those above the first read one direction alone there; "
            "set model.bidirectional=false (--forward)"
        )
