"""The doctor: what a text will do to training, found out before training."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import text
from rnnkit.data.documents import Document, names_of, split
from rnnkit.data.prepare import split_rule, vocabulary_pieces
from rnnkit.data.readers import read_documents
from rnnkit.data.report import Cost, Finding, Report
from rnnkit.data.survey import MIN_DUPLICATE, Survey
from rnnkit.errors import ArgumentError, DataError

_REACHED = 0.5  # of a matrix product's speed, by a recurrent layer
_MEASURED_S = 0.2  # of short products, of which the fastest counts
_MAX_BPE_CHARACTERS = 1 << 22  # of the text, on which `doctor` trains a trial BPE
_CR_LF = re.compile(r"([\d,]+) line ends CR LF read as LF$")  # the readers' note


def doctor(
    sources: Sequence[str | Path] | None = None,
    *,
    held_out_sources: Sequence[str | Path] | None = None,
    held_out: float = 0.1,
    tokenizer: str = "char",
    vocab_size: int | None = None,
    min_count: int = 1,
    split_punctuation: bool = False,
    encoding: str = "utf-8",
    as_bytes: bool = False,
    hidden_size: int = 512,
    embedding_size: int = 256,
    batch_size: int = 64,
    window: int = 32,
    flops_per_s: float | None = None,
) -> Report:
    """Examine a text as training would read it.

    Args:
        sources, held_out_sources, held_out, encoding, as_bytes: as for training, and split as training does with
            `tokenizer`.
        tokenizer, vocab_size, min_count, split_punctuation: the tokeniser that is planned; byte, char and word are
            always compared, BPE (trained on the first four million characters for the purpose) when it is planned.
        hidden_size, embedding_size, batch_size, window: for the estimates; the defaults are training's.
        flops_per_s: what the machine does, for the time estimate. None: half of what NumPy's products reach now.
    Returns: a Report. A text that cannot be read as it is gives a finding of severity "error", not an exception.
    Raises: DataError for files that are missing or empty; ArgumentError for a kind or option that does not exist.
    Cost: three passes over the text; memory as `Survey.of`.
    """
    if tokenizer not in text.KINDS:
        raise ArgumentError(f"there is no tokeniser {tokenizer!r}; choose one of {', '.join(text.KINDS)}")
    if split_punctuation and tokenizer != "word":
        raise ArgumentError(f"split_punctuation belongs to 'word', not to {tokenizer!r}; leave it out")
    if held_out_sources is not None and sources is None:
        raise ArgumentError("held-out text goes with training text; name the text to train on too")
    if held_out_sources is not None and held_out != 0.1:
        raise ArgumentError("held_out has no effect beside held_out_sources; leave one of them out")
    sizes = {"hidden_size": hidden_size, "batch_size": batch_size, "window": window, "min_count": min_count}
    for name, size in sizes.items():
        if size < 1:
            raise ArgumentError(f"{name} is {size}, it must be at least 1; leave it out for the default")
    if embedding_size < 0:
        raise ArgumentError(f"embedding_size is {embedding_size}, it must be at least 0, which feeds one-hot rows")
    findings: list[Finding] = []
    documents = _readable(read_documents(sources, encoding=encoding, as_bytes=as_bytes), findings)
    if held_out_sources is not None:
        held = _readable(read_documents(held_out_sources, encoding=encoding, as_bytes=as_bytes), findings)
        training = documents
    else:
        try:
            training, held = split(documents, held_out, by=split_rule(tokenizer)) if documents else ([], [])
        except DataError as error:
            findings.append(_finding_of(error, names_of(documents)))
            training, held = documents, []
    assumed: dict[str, Any] = {
        "hidden_size": hidden_size,
        "embedding_size": embedding_size,
        "batch_size": batch_size,
        "window": window,
        "flops_per_s": flops_per_s or _REACHED * _product_flops_per_s(),
        "flops_per_s_from": "the caller" if flops_per_s else "half of what NumPy products reached just now",
    }
    if not training:
        return Report({}, {}, [], {}, {}, {}, assumed, findings)
    seen = Survey.of(training, split_punctuation=split_punctuation)
    unseen = Survey.of(held, split_punctuation=split_punctuation)
    for survey in (seen, unseen):
        findings += [finding for finding in _about_characters(survey, as_bytes=as_bytes) if finding not in findings]
    findings += _about_vocabulary(seen, unseen, as_bytes=as_bytes)
    findings += _about_duplicates(seen, unseen)
    findings += _about_size(seen)
    costs = [
        cost(
            kind,
            size,
            num_tokens,
            unknown_share,
            hidden_size=hidden_size,
            embedding_size=embedding_size,
            batch_size=batch_size,
            window=window,
            flops_per_s=assumed["flops_per_s"],
        )
        for kind, size, num_tokens, unknown_share in _vocabularies(
            training,
            held,
            seen,
            unseen,
            planned=tokenizer,
            vocab_size=vocab_size,
            min_count=min_count,
            as_bytes=as_bytes,
        )
    ]
    return Report(
        text=_text(documents, seen, unseen, encoding="bytes" if as_bytes else encoding),
        sizes={
            "documents": seen.num_documents,
            "lines": max(int((seen.characters + unseen.characters)[ord("\n")]), 1),  # one of them may be cut in two
            "words": seen.num_words + unseen.num_words,
            "characters": seen.num_characters + unseen.num_characters,
            "bytes": seen.num_bytes + unseen.num_bytes,
            "characters_held_out": unseen.num_characters,
        },
        costs=costs,
        suggestion=_suggestion(seen, as_bytes=as_bytes),
        line_lengths=_edges(seen.line_lengths),
        document_lengths=_edges(seen.document_lengths) if seen.num_documents > 1 else {},
        assumed=assumed,
        findings=sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity)),
    )


def cost(
    kind: str,
    vocab_size: int,
    num_tokens: int,
    unknown_share: float,
    *,
    hidden_size: int,
    embedding_size: int,
    batch_size: int,
    window: int,
    flops_per_s: float,
) -> Cost:
    """What an LSTM of one layer costs on these tokens.

    With V ids, H units, embeddings of size E (0: one-hot), input I = E or V, B·T tokens in an update:
    parameters P = 4H(I + H + 2) + V(H + 1) + V·E;
    arithmetic of a training step per token F = 3·2·(4H·H + 4H·E·min(1, V/(B·T)) + H·V), backward twice forward (each
    row of the embedding is projected once, or each token if there are fewer);
    memory 16·P (weight, gradient, two moments, float32) + 4·B·T·(6H + E) (gates, h, c, input) + 4·256·V (a block of
    logits);
    time of an epoch F·N / rate.
    """
    tokens = batch_size * window
    inputs = embedding_size or vocab_size
    parameters = 4 * hidden_size * (inputs + hidden_size + 2) + vocab_size * (hidden_size + 1 + embedding_size)
    inner = 4 * hidden_size * (hidden_size + embedding_size * min(1.0, vocab_size / tokens))
    softmax = hidden_size * vocab_size
    return Cost(
        kind=kind,
        vocab_size=vocab_size,
        num_tokens=num_tokens,
        unknown_share=unknown_share,
        num_parameters=parameters,
        parameter_bytes=4 * parameters,
        softmax_share=softmax / (inner + softmax),
        memory_bytes=16 * parameters + 4 * tokens * (6 * hidden_size + embedding_size) + 1024 * vocab_size,
        epoch_s=6 * (inner + softmax) * num_tokens / flops_per_s,
    )


def _text(documents: list[Document], seen: Survey, unseen: Survey, *, encoding: str) -> dict[str, Any]:
    """How the text is written down."""
    if encoding == "bytes":
        return {"encoding": encoding}
    notes = dict.fromkeys([*seen.notes, *unseen.notes])  # both name the document that was cut
    characters = seen.characters + unseen.characters
    num_cr_lf = sum(int(match[1].replace(",", "")) for match in map(_CR_LF.search, notes) if match)
    line_ends = {"LF": int(characters[ord("\n")]) - num_cr_lf, "CR LF": num_cr_lf, "CR": int(characters[ord("\r")])}
    return {
        "encoding": encoding,
        "is_ascii": not characters[128:].any(),
        "has_byte_order_mark": any(note.endswith("byte order mark removed") for note in notes),
        "line_ends": {name: count for name, count in line_ends.items() if count},
    }


def _readable(documents: list[Document], findings: list[Finding]) -> list[Document]:
    """The documents that can be read to their end; the others become findings."""
    readable = []
    for document in documents:
        try:
            document.length()
            readable.append(document)
        except DataError as error:
            findings.append(_finding_of(error, document.name))
    return readable


def _finding_of(error: DataError, name: str) -> Finding:
    what, _, remedy = str(error).removeprefix(f"{name}: ").partition("; ")
    return Finding("error", what, name, remedy)


def _about_characters(survey: Survey, *, as_bytes: bool) -> Iterator[Finding]:
    for note in survey.notes:
        name, _, what = note.rpartition(": ")
        yield Finding("info", what, name, "nothing to do")
    if as_bytes:
        return
    for character, place in sorted(survey.suspects.items()):
        code, count = ord(character), int(survey.characters[ord(character)])
        name = unicodedata.name(character, "control character")
        if character == "\ufffd":
            remedy = "the text was damaged when it was made; fetch it again, or read the original with its own encoding"
            yield Finding("warning", f"{count:,} replacement characters U+FFFD", place, remedy)
        elif character == "\r":
            remedy = "if they are line ends, make them LF: tr '\\r' '\\n'"
            yield Finding("warning", f"{count:,} CR without LF", place, remedy)
        elif character == "\0":
            remedy = "take them out; if every other character is one, pass --encoding utf-16-le or utf-16-be"
            yield Finding("warning", f"{count:,} × U+0000 (NUL)", place, remedy)
        elif unicodedata.category(character) == "Cc":
            yield Finding(
                "warning", f"{count:,} × U+{code:04X} ({name})", place, "take them out, unless they are meant"
            )
        else:
            yield Finding("info", f"{count:,} × invisible U+{code:04X} ({name})", place, "take them out, unless meant")
    if survey.misread:
        yield Finding("warning", "looks like UTF-8 read as latin-1 or cp1252", survey.misread, "pass --encoding utf-8")
    if survey.not_composed:
        remedy = "one letter has two spellings; unicodedata.normalize('NFC', text) makes the vocabulary smaller"
        yield Finding("info", "characters that are not composed (not NFC)", survey.not_composed, remedy)


def _about_vocabulary(seen: Survey, unseen: Survey, *, as_bytes: bool) -> Iterator[Finding]:
    if as_bytes:
        return
    if seen.distinct_characters > 500:
        rare = int(np.count_nonzero((seen.characters > 0) & (seen.characters < 10)))
        yield Finding(
            "warning",
            f"{seen.distinct_characters:,} different characters, {rare:,} of them fewer than ten times",
            "training text",
            "--tokenizer byte or bpe needs no entry for each; --min-count 10 makes the rare ones unknown",
        )
    strange = np.flatnonzero((unseen.characters > 0) & (seen.characters == 0))
    if len(strange):
        shown = " ".join(repr(chr(code)) for code in strange[:8].tolist()) + (" …" if len(strange) > 8 else "")
        yield Finding(
            "warning",
            f"{len(strange)} characters that the training text does not have: {shown}",
            "held-out text",
            "a character model scores them as unknown; --tokenizer byte or bpe knows every character",
        )
    once = sum(count == 1 for count in seen.words.values())
    if seen.num_words > 1000 and once > len(seen.words) // 2:
        remedy = "for words, --min-count 2 drops them, and --tokenizer bpe spells them"
        yield Finding("info", f"{once:,} of {len(seen.words):,} words stand there once", "training text", remedy)
    unknown = _unknown_words(seen, unseen, 1)
    if unknown > 0.05:
        remedy = "for words, that share of the text is not predicted; prefer char or bpe"
        yield Finding("warning", f"{unknown:.1%} of the words are unknown", "held-out text", remedy)


def _about_duplicates(seen: Survey, unseen: Survey) -> Iterator[Finding]:
    both = [key for key in unseen.lines if key in seen.lines]
    if both:
        key = both[0]
        share = len(both) / len(unseen.lines)
        yield Finding(
            "warning" if share > 0.01 else "info",
            f"{len(both):,} lines ({share:.1%}) of {MIN_DUPLICATE} characters or more also stand in the training text, "
            f"the first at {seen.lines[key]}",
            f"held-out text, its line {unseen.lines[key]}",
            "the score will flatter; remove the copies, or hold out other documents",
        )
    if seen.num_repeated > 0.01 * seen.num_long_lines:
        yield Finding(
            "info",
            f"{seen.num_repeated:,} of {seen.num_long_lines:,} lines of {MIN_DUPLICATE} characters or more are copies",
            "training text",
            "what stands there often is learnt by heart; remove copies that mean nothing",
        )


def _about_size(seen: Survey) -> Iterator[Finding]:
    if seen.num_characters < 100_000:
        remedy = "expect n-grams to win; give more text, or a small network with dropout"
        yield Finding("warning", f"only {seen.num_characters:,} characters", "training text", remedy)
    length, place = seen.longest_line
    if length > 100_000:
        remedy = "it trains as it is; scoring line by line needs shorter lines"
        yield Finding("info", f"a line of {length:,} characters", place, remedy)


def _vocabularies(
    training: list[Document],
    held: list[Document],
    seen: Survey,
    unseen: Survey,
    *,
    planned: str,
    vocab_size: int | None,
    min_count: int,
    as_bytes: bool,
) -> Iterator[tuple[str, int, int, float]]:
    """(kind, vocabulary, training tokens, unknown share of the held-out tokens) of each kind."""
    yield "byte", 256, seen.num_bytes, 0.0
    if as_bytes:
        return
    for kind in ("char", "word"):
        is_planned = kind == planned
        least = min_count if is_planned else 1
        counts = Counter(dict(enumerate(seen.characters.tolist()))) if kind == "char" else seen.words
        reserved = 1 if kind == "char" else 2
        kept = sorted((count for count in counts.values() if count >= least), reverse=True)
        if is_planned and vocab_size is not None:
            kept = kept[: max(vocab_size - reserved, 0)]
            least = max(least, kept[-1] if kept else 1)
        if kind == "char":
            known = seen.characters >= least
            unknown = float(unseen.characters[~known].sum()) / max(unseen.num_characters, 1)
            yield kind, len(kept) + reserved, seen.num_characters, unknown
        else:
            unknown = _unknown_words(seen, unseen, least)
            yield kind, len(kept) + reserved - ("<unk>" in seen.words), seen.num_words + seen.num_lines, unknown
    if planned == "bpe":
        pieces = _first(vocabulary_pieces(training, "bpe"), _MAX_BPE_CHARACTERS)
        built = text.build("bpe", pieces, vocab_size=vocab_size, min_count=min_count)
        sample = "".join(_first(vocabulary_pieces(training, "bpe"), _MAX_BPE_CHARACTERS))
        num_tokens = len(built.encode(sample)) * seen.num_characters // len(sample)
        yield "bpe", built.vocab_size, num_tokens, 0.0


def _unknown_words(seen: Survey, unseen: Survey, min_count: int) -> float:
    unknown = sum(count for word, count in unseen.words.items() if seen.words[word] < min_count)
    return unknown / max(unseen.num_words, 1)


def _first(pieces: Iterator[str], most: int) -> Iterator[str]:
    for piece in pieces:
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return


def _suggestion(seen: Survey, *, as_bytes: bool) -> dict[str, Any]:
    if as_bytes:
        kind, reason = "byte", "the text is read as bytes"
    elif seen.looks_tokenised:
        kind, reason = "word", "words and punctuation already stand apart"
    elif seen.distinct_characters > 1000:
        kind, reason = "byte", f"{seen.distinct_characters:,} different characters are many for a softmax"
    elif seen.num_characters > 20_000_000:
        kind, reason = "bpe", "with this much text, pieces of words learn faster than characters"
    else:
        kind, reason = "char", "few different characters, and nothing is unknown"
    return {"tokenizer": kind, "reason": reason}


def _product_flops_per_s() -> float:
    """All cores' speed, from the fastest of many short float32 products of NumPy on one core.

    Products of 64 are too small for a BLAS to share them out: where other programs compute too, a shared one waits for
    whole time slices of its other threads, and would say a hundredth.
    """
    size = 64
    square = np.ones((size, size), np.float32)
    result = np.empty_like(square)
    best, end = float("inf"), time.perf_counter() + _MEASURED_S
    while time.perf_counter() < end:
        start = time.perf_counter()
        np.matmul(square, square, out=result)
        best = min(best, time.perf_counter() - start)
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return num_cores * 2 * size**3 / best


def _edges(octaves: Counter[int]) -> dict[int, int]:
    return {0 if k < 0 else 1 << k: octaves[k] for k in sorted(octaves)}
