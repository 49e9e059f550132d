"""The first of two steps: a language model, of other texts and one's own, that a classifier or tagger starts from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit import durable
from rnnkit.api.bidirectional import BidirectionalLanguageModel
from rnnkit.api.language_model import LanguageModel
from rnnkit.api.tagging import TagRunConfig
from rnnkit.errors import ConfigError
from rnnkit.tasks.classify_start import check_directions
from rnnkit.tasks.sections import TokenizerConfig

# Of the model to come: what the language model then has, and how it is kept from learning by heart.
_SHARED = ("cell", "hidden_size", "num_layers", "proj_size", "embedding_size", "bias", "residual", "trainable_state",
           "layer_norm", "init", "forget_bias", "chrono", "dropout", "input_dropout", "precision")  # fmt: skip


def pretrained(settings: Any, run: Path, force: bool, observers: Sequence[Any]) -> Any:
    """Train the language model that `transfer.pretrain` asks for into `RUN-lm`, or go on with it where it stopped.

    It reads those texts and the training texts line by line, for both its vocabulary and its weights; none that is held
    out. That of a bidirectional classifier or tagger is bidirectional.

    Args:    settings: of a run of `train classify` or `train tag`.
    Returns: the configuration of one that starts from it.
    Raises:  ConfigError; as `LanguageModel.train`.
    """
    transfer, model = settings.transfer, settings.model
    if transfer.from_run is not None or transfer.pretrain is None:
        raise ConfigError(f"from_run is {transfer.from_run!r} and pretrain {transfer.pretrain!r}: give one of them")
    folder = run.with_name(f"{run.name}-lm")
    num_layers = len(model.hidden_size) if isinstance(model.hidden_size, tuple) else model.num_layers
    check_directions(model.bidirectional, num_layers, str(folder))
    task = settings.model_copy(update={"transfer": type(transfer)()}).make_task()
    texts, tokens, decided = (_of_tagger if isinstance(settings, TagRunConfig) else _of_classifier)(settings, task)
    own = folder.with_name(f"{folder.name}.txt")
    own.parent.mkdir(parents=True, exist_ok=True)
    durable.write_file(own, "".join(f"{text}\n" for text in texts).encode())
    (BidirectionalLanguageModel if model.bidirectional else LanguageModel).train(
        [*transfer.pretrain, own],
        run=folder,
        resume=folder.exists() and not force,
        force=force,
        observers=observers,
        **{
            **{f"model.{name}": getattr(model, name) for name in _SHARED},
            **{f"tokenizer.{name}": value for name, value in tokens.items()},
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
    return settings.model_copy(update={"transfer": started, **decided})


# Of a task: its training texts, a line each; what the language model's tokens are; what is thereby decided.
_Own = tuple[list[str], dict[str, Any], dict[str, Any]]


def _of_classifier(settings: Any, task: Any) -> _Own:
    sequences = task.sequences
    if sequences.tokenizer is None:
        raise ConfigError("transfer.pretrain has no effect on series of numbers: leave it out")
    kind = sequences.tokenizer.kind
    tokens = {name: getattr(settings.tokenizer, name) for name in TokenizerConfig.model_fields} | {"kind": kind}
    texts = [" ".join(text.split()) for text in sequences.train.examples.inputs]
    return texts, tokens, {"tokenizer": type(settings.tokenizer)(kind=kind)}


def _of_tagger(settings: Any, task: Any) -> _Own:
    """Words as they are tagged; in other texts they stand between spaces."""
    texts = [" ".join(words) for words in task.sentences.train.tagged.sentences]
    words = settings.words.model_copy(update={"min_count": 1})  # the language model has counted them
    return texts, {"kind": "word", "min_count": settings.words.min_count}, {"words": words}
