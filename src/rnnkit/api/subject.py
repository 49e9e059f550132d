"""Subject: a run's model in the learn half, and one input of it, as `rnnkit.explain` takes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.api.comparison import read_metrics
from rnnkit.api.loading import load
from rnnkit.api.training import require_torch
from rnnkit.bundle import read_bundle
from rnnkit.errors import ArgumentError, BundleError, UsageError

_READS = {
    "language_model": "a text",
    "acceptor": "a text, or for a model of frames nothing: then a held-out series is taken",
    "transducer": "words with spaces between them, or for a model of frames nothing: then held-out ones are taken",
}


@dataclass(frozen=True)
class Subject:
    """What is looked into.

    Attributes:
        model: a `rnnkit.models` model.  runtime: the same without torch.
        inputs: of one sequence, [T, 1, …].  targets: what `model.loss` takes with them.
        pieces: what each step reads, to show.  loss_of: what the losses are, for people.
        window: steps of truncated BPTT that the run was trained with; None: all.
        notes: what was left out, and why.
    """

    kind: str
    model: Any
    runtime: Any
    inputs: np.ndarray
    targets: np.ndarray
    pieces: list[str]
    loss_of: str
    window: int | None
    notes: list[str]

    def first(self, steps: int) -> Subject:
        """The same with at most so many steps."""
        if len(self.inputs) <= steps:
            return self
        targets = self.targets[:steps] if len(self.targets) == len(self.inputs) else self.targets
        return Subject(self.kind, self.model, self.runtime, self.inputs[:steps], targets, self.pieces[:steps],
                       self.loss_of, self.window, self.notes)  # fmt: skip


def read_subject(run: str | Path, sequence: Any = None, *, most_steps: int) -> Subject:
    """A run's model and what it is to read.

    Args:   sequence: a text, words, frames, as the model's `encode` takes them; None: what its bundle keeps of the
            held-out data.  most_steps: of a longer one the first so many are read, and a note says so.
    Raises: MissingExtraError without torch; BundleError; UsageError for a kind that cannot be looked into.
    """
    require_torch()
    from rnnkit.models.acceptor import Acceptor
    from rnnkit.models.generator import Generator
    from rnnkit.models.transducer import Transducer

    bundle = read_bundle(run)
    kind, classes = bundle.config["kind"], {one.kind: one for one in (Generator, Acceptor, Transducer)}
    if kind not in classes:
        raise UsageError(
            f"{run} holds a {kind.replace('_', ' ')}; explain looks into a language model that reads forwards, a "
            "classifier or a tagger: name a run of train lm, classify, grammar, tag or frames"
        )
    model = classes[kind].from_export(bundle.config, bundle.tensors)
    runtime: Any = load(run)
    notes: list[str] = []
    if sequence is None:
        sequence = _held_out(run, runtime, kind)
        notes.append("No input was given: this one is from the run's held-out data.")
    read = {"language_model": _text, "acceptor": _decided, "transducer": _tagged}[kind]
    inputs, targets, pieces, loss_of = read(runtime, sequence)
    if not len(inputs):
        raise ArgumentError(f"the input has no step; give {_READS[kind]}")
    subject = Subject(kind, model, runtime, inputs, targets, pieces, loss_of, _window(run, kind), notes)
    if len(inputs) > most_steps:
        notes.append(f"The input has {len(inputs):,} steps: the first {most_steps:,} were read.")
    return subject.first(most_steps)


def _held_out(run: str | Path, runtime: Any, kind: str) -> Any:
    kept = runtime.evaluation_sample()
    if kept is None or not len(kept[0]):
        raise ArgumentError(f"{run} keeps no held-out data to take an input from; give {_READS[kind]}")
    return kept[0][:100] if kind == "language_model" else next((one for one in kept[0] if len(one)), kept[0][0])


def _text(runtime: Any, text: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    tokenizer = runtime.tokenizer
    ids = tokenizer.encode(text) if isinstance(text, str | bytes) else np.asarray(text)
    inputs = np.concatenate([[runtime.begin_id], ids])[: len(ids)].astype(np.int64)
    pieces = [tokenizer.token_text(int(one)) for one in inputs]
    loss = "−log p(next token), one behind every step"
    return inputs[:, None], ids.astype(np.int64)[:, None], pieces, loss


def _decided(runtime: Any, sequence: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    x = runtime.encode(sequence)
    log_probs = runtime.log_probs([x])
    if runtime.is_multi_label:
        targets, named = runtime.decided(log_probs).astype(np.int64)[None], ", ".join(runtime.named(log_probs)[0])
    else:
        targets, named = log_probs.argmax(1)[None], runtime.named(log_probs)[0]
    return (
        x[:, None],
        targets,
        _pieces(runtime, sequence, x),
        f"−log p({named or 'no label'}), one behind the last step",
    )


def _tagged(runtime: Any, sequence: Any) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    sequence = sequence.split() if isinstance(sequence, str) else sequence
    x = runtime.encode(sequence)
    found = runtime.predict([x])[0] if runtime.targets != "numbers" else runtime.log_probs([x])[0]
    if runtime.targets == "numbers":
        targets = np.broadcast_to(runtime._tensors["target_scale.mean"], found.shape)
        loss = "the squared distance of what is said from the training mean, at every step"
    elif runtime.targets == "labels":
        targets = np.array([[label in labels for label in runtime.labels] for labels in found], np.float64)
        loss = "−log p(labels said), at every step"
    else:
        targets, loss = np.array([runtime.labels.index(label) for label in found]), "−log p(label said), at every step"
    return x[:, None], targets[:, None], _pieces(runtime, sequence, x), loss


def _pieces(runtime: Any, sequence: Any, x: np.ndarray) -> list[str]:
    words, tokenizer = getattr(runtime, "words", None), getattr(runtime, "tokenizer", None)
    if words is not None and not isinstance(sequence, np.ndarray):
        return list(words.cut(sequence) if isinstance(sequence, str) else sequence)
    if words is not None:
        first = x if x.ndim == 1 else x[:, 0]
        return [words.words[int(one) - 1] if one else "?" for one in first]
    if tokenizer is not None:
        return [tokenizer.token_text(int(one)) for one in x]
    return [str(step) for step in range(1, len(x) + 1)]


def _window(run: str | Path, kind: str) -> int | None:
    """What a run's gradient was cut after, as far as the folder says."""
    if kind != "language_model":
        return None
    try:
        return int(read_metrics(run)["config"]["training"]["window"])
    except (BundleError, KeyError, TypeError, ValueError):
        return None
