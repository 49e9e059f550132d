"""The first of two steps: a language model, of other texts and of a classifier's, that the classifier starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit import durable
from rnnkit.api.bidirectional import BidirectionalLanguageModel
from rnnkit.api.classification import ClassifyRunConfig
from rnnkit.api.language_model import LanguageModel
from rnnkit.errors import ConfigError
from rnnkit.tasks.sections import TokenizerConfig

# Of the classifier's model: what the language model then has, and how it is kept from learning by heart.
_SHARED = ("cell", "hidden_size", "num_layers", "proj_size", "embedding_size", "bias", "residual", "trainable_state",
           "layer_norm", "init", "forget_bias", "chrono", "dropout", "input_dropout", "precision")  # fmt: skip


def pretrained(settings: ClassifyRunConfig, run: Path, force: bool, observers: Sequence[Any]) -> ClassifyRunConfig:
    """Train the language model that `transfer.pretrain` asks for into `RUN-lm`, or go on with it where it stopped.

    It reads those texts and the training texts line by line, for both its vocabulary and its weights; none that is held
    out. That of a bidirectional classifier is bidirectional.

    Returns: the configuration of a classifier that starts from it.
    Raises:  ConfigError; as `LanguageModel.train`.
    """
    transfer = settings.transfer
    if transfer.from_run is not None or transfer.pretrain is None:
        raise ConfigError(f"from_run is {transfer.from_run!r} and pretrain {transfer.pretrain!r}: give one of them")
    plain = settings.model_copy(update={"transfer": type(transfer)()})
    sequences = plain.make_task().sequences
    if sequences.tokenizer is None:
        raise ConfigError("transfer.pretrain has no effect on series of numbers: leave it out")
    folder = run.with_name(f"{run.name}-lm")
    own = folder.with_name(f"{folder.name}.txt")
    own.parent.mkdir(parents=True, exist_ok=True)
    durable.write_file(own, "".join(f"{' '.join(text.split())}\n" for text in sequences.train.examples.inputs).encode())
    model = {f"model.{name}": getattr(settings.model, name) for name in _SHARED}
    tokens = {f"tokenizer.{name}": getattr(settings.tokenizer, name) for name in TokenizerConfig.model_fields}
    is_both = settings.model.bidirectional  # layers that read backwards are to start from some that do
    (BidirectionalLanguageModel if is_both else LanguageModel).train(
        [*transfer.pretrain, own],
        run=folder,
        resume=folder.exists() and not force,
        force=force,
        observers=observers,
        **{
            **model,
            **tokens,
            "tokenizer.kind": sequences.tokenizer.kind,
            "model.tied": True,
            "training.epochs": transfer.pretrain_epochs,
            "training.lr": transfer.pretrain_lr,
            "training.seed": settings.training.seed,
            "training.threads": settings.training.threads,
            "data.held_out": 0.02,
            "data.by_line": True,  # a classifier reads every text from the initial state
            "baselines.kinds": ["unigram"],
            "samples.sample_tokens": 0,
        },
    )
    started = type(transfer)(
        from_run=str(folder.resolve()), unfreeze_every=transfer.unfreeze_every, rate_decay=transfer.rate_decay
    )
    decided = type(settings.tokenizer)(kind=sequences.tokenizer.kind)
    return settings.model_copy(update={"transfer": started, "tokenizer": decided})
