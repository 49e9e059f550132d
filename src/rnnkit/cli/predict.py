"""`rnnkit predict`: score or label the lines that come in on stdin."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnnkit.errors import DataError, RnnkitError, UsageError

if TYPE_CHECKING:
    from rnnkit.api import BidirectionalLanguageModel, Classifier, FrameTagger, LanguageModel, Tagger


class LineFormat(StrEnum):
    """How a scored line is written."""

    JSONL = "jsonl"
    TSV = "tsv"


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    file: Annotated[
        Path | None,
        typer.Argument(help="What to read in place of stdin: lines; of a classifier or tagger also a file of its own."),
    ] = None,
    output: Annotated[
        LineFormat,
        typer.Option("--format", help="tsv: nats, tokens, text, or label, probability, text; jsonl: every figure."),
    ] = LineFormat.TSV,
    precision: Annotated[
        str | None, typer.Option(help="Of products: fp32, fp32_split, bf16, int8 or auto; else as it was trained.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    encoding: Annotated[str, typer.Option(help="Of the lines.")] = "utf-8",
    as_bytes: Annotated[bool, typer.Option("--bytes", help="Score bytes as they are; for a byte model.")] = False,
    num_beams: Annotated[int | None, typer.Option(help="Of one that writes: texts followed at a time.")] = None,
    n_best: Annotated[int | None, typer.Option(help="Of one that writes: so many texts, with their scores.")] = None,
    length_penalty: Annotated[float | None, typer.Option(help="Of one that writes: above 0 for longer texts.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Of one that writes: where a text is cut off.")] = None,
) -> None:
    """Score every line of stdin, or of FILE, with the model of RUN, each from a fresh state; a classifier labels it.

    One that was trained on pairs of texts writes a text for it; one of records for each record of a file, or for an
    object of attributes or a dialogue act on each line.

    A tagger tags the sentences of a file as it was trained on, or the words of every line of stdin. One of frames
    labels those of a table, .npz or video, or where it reads forwards those on stdin, a line of numbers for each.
    A forecaster writes what comes after every series of a table, or after every value on stdin.
    A simulator writes what comes out of every record, or of every line of inputs on stdin.
    """
    from rnnkit import api
    from rnnkit.cli import forecasts, lines, simulations

    model = api.load(run, precision=precision)
    is_jsonl = as_json or output is LineFormat.JSONL
    named = {"num_beams": num_beams, "n_best": n_best, "length_penalty": length_penalty}
    named |= {"max_new_tokens": max_new_tokens}
    writing: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if isinstance(model, api.Translator | api.Describer):
        from rnnkit.cli import predict_texts

        if as_bytes:
            raise UsageError("--bytes has no effect on a model that writes; leave it out")
        how: Any = {"is_jsonl": is_jsonl, "options": writing}
        if isinstance(model, api.Describer):
            predict_texts.say(model, file, encoding, **how)
        else:
            predict_texts.write(model, file, encoding, **how)
        return
    if writing:
        raise UsageError(f"--{next(iter(writing)).replace('_', '-')} is for a model that writes; leave it out")
    if isinstance(model, api.Forecaster):
        if as_bytes:
            raise UsageError("--bytes has no effect on a forecaster; leave it out")
        forecasts.write(model, file, encoding=encoding, is_jsonl=is_jsonl)
        return
    if isinstance(model, api.Simulator):
        if as_bytes:
            raise UsageError("--bytes has no effect on a simulator; leave it out")
        simulations.write(model, file, encoding=encoding, is_jsonl=is_jsonl)
        return
    if isinstance(model, api.Tagger) and as_bytes:
        raise UsageError("--bytes has no effect on a tagger; leave it out")
    if isinstance(model, api.FrameTagger):
        _label_frames(model, file, encoding, is_jsonl=is_jsonl)
        return
    if isinstance(model, api.Tagger):
        _tag(model, file, encoding, is_jsonl=is_jsonl)
        return
    if isinstance(model, api.Classifier) and lines.reads_file(model, file, as_bytes=as_bytes):
        _label_file(model, file, encoding, is_jsonl=is_jsonl)  # type: ignore[arg-type]
        return
    with lines.given(file, encoding=encoding, as_bytes=as_bytes) as (name, given):
        _predict_lines(model, given, name, is_jsonl=is_jsonl)


def _predict_lines(
    model: LanguageModel | BidirectionalLanguageModel | Classifier,
    lines: Iterator[bytes] | Iterator[str],
    name: str,
    *,
    is_jsonl: bool,
) -> None:
    from rnnkit import api

    for number, line in enumerate(lines, start=1):
        try:
            figures, cells = _labelled(model, line) if isinstance(model, api.Classifier) else _scored(model, line)
        except RnnkitError as error:
            raise type(error)(f"{name}, line {number}: {error}") from None
        text = line.decode(errors="replace") if isinstance(line, bytes) else line
        if is_jsonl:
            print(json.dumps({"text": text, **figures}, ensure_ascii=False), flush=True)
        else:
            print("\t".join((*cells, text)), flush=True)


def _label_file(model: Classifier, file: Path, encoding: str, *, is_jsonl: bool) -> None:
    for place, sequence in model.read(file, encoding=encoding):
        figures, cells = _labelled(model, sequence)
        shown = {"text": sequence} if isinstance(sequence, str) else {}
        if is_jsonl:
            print(json.dumps({"place": place, **shown, **figures}, ensure_ascii=False), flush=True)
        else:
            print("\t".join((*cells, place, *shown.values())), flush=True)


def _tag(model: Tagger, file: Path | None, encoding: str, *, is_jsonl: bool) -> None:
    """Words with their tags, an empty line behind each sentence; or objects with both lists."""
    from rnnkit.cli import lines

    if file is None:
        sentences: Iterable[list[str]] = map(str.split, lines.text_lines(sys.stdin.buffer, encoding, name="stdin"))
    else:
        sentences = model.read(file, encoding=encoding).sentences
    for words in sentences:
        (tags,) = model.predict([words])
        if is_jsonl:
            print(json.dumps({"words": words, "tags": tags}, ensure_ascii=False), flush=True)
        else:
            print("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)), flush=True)


def _label_frames(model: FrameTagger, file: Path | None, encoding: str, *, is_jsonl: bool) -> None:
    """A line for each frame: its label, the label's probability, its place; or its labels, or numbers, then that."""
    for place, labels, outputs in _framed(model, file, encoding):
        for at, (label, of_frame) in enumerate(zip(labels, outputs.tolist(), strict=True)):
            figures, cells = _said(model, label, of_frame)
            if is_jsonl:
                print(json.dumps({"place": place(at), **figures}, ensure_ascii=False), flush=True)
            else:
                print("\t".join((*cells, place(at))), flush=True)


def _said(model: FrameTagger, label: Any, outputs: list[float]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is said of a frame. Args: label: as `model.predict`.  outputs: log-probabilities, or numbers."""
    if model.targets == "numbers":
        return {"numbers": dict(zip(model.labels, outputs, strict=True))}, tuple(f"{value:.6g}" for value in outputs)
    shares = [math.exp(value) for value in outputs]
    if model.targets == "labels":
        return {"labels": label, "probabilities": dict(zip(model.labels, shares, strict=True))}, (" ".join(label),)
    return _named(model, shares, model.labels.index(label))


def _framed(
    model: FrameTagger, file: Path | None, encoding: str
) -> Iterator[tuple[Callable[[int], str], list[Any], Any]]:
    """How to name a frame, what is predicted [T], and log-probabilities [T, C] or numbers [T, K]: of each recording, or
    as frames come on stdin; of the next frame, of the one that follows each, and of labels of the first one before it.
    """
    from rnnkit.cli import lines

    if file is not None:
        framed = model.read(file, encoding=encoding)
        for number, frames in enumerate(framed.sentences):
            predicted = model.predict([frames])[0]
            outputs = predicted if model.targets == "numbers" else model.log_probs([frames])[0]
            yield functools.partial(framed.place, number), list(predicted), outputs
        return
    if model.config["model"].get("frame_shape"):
        raise UsageError("this labeller of frames reads videos, which do not come on stdin as lines; name a FILE")
    if not model.is_causal:
        raise UsageError(
            "this labeller of frames also looks ahead, so it cannot label frames as they come; name a FILE"
        )
    state = model.initial_state()
    if model.is_next and model.targets == "labels":
        outputs, state = model.step([[0.0] * model.input_size], state)
        yield lambda _: "stdin, line 1", _predicted(model, outputs), outputs
    for number, line in enumerate(lines.text_lines(sys.stdin.buffer, encoding, name="stdin"), start=1):
        place = f"stdin, line {number}"
        try:
            values = [float(cell) for cell in line.replace(",", " ").split()]
            outputs, state = model.step([values], state)
        except (ValueError, RnnkitError) as error:
            raise DataError(f"{place}: {error}; every line is a frame, its numbers between commas") from None
        said_of = f"stdin, line {number + model.is_next}"
        yield lambda _, said_of=said_of: said_of, _predicted(model, outputs), outputs


def _predicted(model: FrameTagger, outputs: Any) -> list[Any]:
    """As `model.predict`, of one step [1, C]."""
    if model.targets == "label":
        return [model.labels[outputs.argmax()]]
    return [model.present(outputs[0])] if model.targets == "labels" else [outputs[0]]


def _scored(
    model: LanguageModel | BidirectionalLanguageModel, line: str | bytes
) -> tuple[dict[str, Any], tuple[str, ...]]:
    score = model.score(line).to_dict() if line else {"nll": 0.0, "num_tokens": 0}
    return score, (f"{score['nll']:.4f}", str(score["num_tokens"]))


def _labelled(model: Classifier, sequence: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    log_probs = model.log_probs([sequence])
    shares = [math.exp(value) for value in log_probs[0].tolist()]
    if not model.is_multi_label:
        return _named(model, shares, max(range(len(shares)), key=shares.__getitem__))
    (found,) = model.named(log_probs)
    by_label = dict(zip(model.labels, shares, strict=True))
    return {"labels": found, "probabilities": by_label}, (
        ",".join(found),
        ",".join(f"{by_label[label]:.4f}" for label in found),
    )


def _named(model: Classifier | FrameTagger, shares: list[float], best: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The label decided on, with the probabilities of all."""
    shown = {"label": model.labels[best], "probabilities": dict(zip(model.labels, shares, strict=True))}
    return shown, (model.labels[best], f"{shares[best]:.4f}")
