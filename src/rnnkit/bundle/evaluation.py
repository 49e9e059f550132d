"""What a bundle keeps of held-out data, so that what a precision or a file costs can be measured: `evaluation.json`.

Of a language model a few thousand tokens, of a classifier some labelled sequences, of a tagger some sentences or
recordings with a label for every step, of a model that writes some pairs of texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnkit.bundle import strict_json
from rnnkit.errors import SchemaError

NAME = "evaluation.json"
MAX_TOKENS = 4096
MAX_NUMBERS = 32_768  # of all sequences together
MAX_SEQUENCES = 1024
MAX_CHARACTERS = 100_000  # of all words together
_MAX_BYTES = 1 << 20
_SEED = 0


def to_bytes(ids: np.ndarray, document_starts: np.ndarray) -> bytes:
    """The file of the first tokens of a held-out text; ids [N], the places where its documents begin."""
    ids = np.asarray(ids[:MAX_TOKENS])
    starts = np.asarray(document_starts)
    return strict_json.dumps({"ids": ids.tolist(), "document_starts": starts[starts < len(ids)].tolist()})


def from_files(files: Mapping[str, bytes], *, vocab_size: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(ids int64 [N], document starts) that a bundle keeps; None for one that keeps none.

    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"ids", "document_starts"}:
        raise SchemaError(f"{NAME} must hold ids and document_starts; write the bundle again")
    ids, starts = (_integers(value[key], key) for key in ("ids", "document_starts"))
    if not 0 < len(ids) <= MAX_TOKENS or ids.min() < 0 or ids.max() >= vocab_size:
        raise SchemaError(f"{NAME}: ids must be 1 to {MAX_TOKENS} integers in 0..{vocab_size - 1}")
    if len(starts) and (starts[0] < 0 or starts[-1] >= len(ids) or (np.diff(starts) <= 0).any()):
        raise SchemaError(f"{NAME}: document_starts must rise within 0..{len(ids) - 1}")
    return ids, starts


def of_sequences(sequences: Sequence[np.ndarray], targets: np.ndarray) -> dict[str, bytes]:
    """The file, by its name, of some held-out sequences and the numbers of their labels [N].

    Sequences are ids [T], words [T, R] or frames [T, I]. Of several labels, which each has: [N, C] of 0 and 1.

    Which ones is drawn, always the same of as many: they may stand in the order of their labels. No file if none fits.
    """
    chosen, left = [], MAX_NUMBERS
    for row in np.random.Generator(np.random.Philox(_SEED)).permutation(len(sequences))[:MAX_SEQUENCES].tolist():
        if sequences[row].size <= left:
            chosen.append(row)
            left -= sequences[row].size
    inputs = [_written(sequences[row]) for row in sorted(chosen)]
    value = {"inputs": inputs, "labels": targets[sorted(chosen)].tolist()}
    return {NAME: strict_json.dumps(value)} if chosen else {}


def sequences_from_files(
    files: Mapping[str, bytes], *, num_labels: int, below: Sequence[int], input_size: int, has_several: bool = False
) -> tuple[list[np.ndarray], np.ndarray] | None:
    """(sequences: ids int64 [T], words int64 [T, R] or frames float32 [T, I]; labels int64 [N]) that a bundle keeps;
    None: it keeps none.

    Args:   below: what ids are below; of words that are rows of R integers, each of them.
            has_several: labels are [N, C] of 0 and 1.
    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"inputs", "labels"}:
        raise SchemaError(f"{NAME} of a classifier must hold inputs and labels; write the bundle again")
    inputs, num_different = value["inputs"], 2 if has_several else num_labels
    targets = _several(value["labels"], num_labels) if has_several else _integers(value["labels"], "labels")
    if not isinstance(inputs, list) or not 0 < len(inputs) == len(targets) or targets.max() >= num_different:
        raise SchemaError(f"{NAME}: inputs must be sequences, with a label in 0..{num_different - 1} each")
    if not input_size:
        return [_ids(sequence, below) for sequence in inputs], targets
    for frames in inputs:
        if not isinstance(frames, list) or not all(_is_frame(frame, input_size) for frame in frames):
            raise SchemaError(f"{NAME}: inputs must be lists of frames of {input_size} numbers")
    return [np.array(frames, np.float32).reshape(-1, input_size) for frames in inputs], targets


def of_steps(inputs: Sequence[Any], targets: Sequence[np.ndarray]) -> dict[str, bytes]:
    """The file of some held-out sequences with the number of a label for every step; by its name, or none if none fits.

    Which ones is drawn, as in `of_sequences`. Args: inputs: lists of words, or frames [T, I]. targets: [T] each.
    """
    if any(isinstance(one, np.ndarray) and one.ndim != 2 for one in inputs) or any(row.ndim != 1 for row in targets):
        return {}  # pictures are too large to keep; several labels or numbers are judged otherwise
    chosen, left = [], MAX_NUMBERS if inputs and isinstance(inputs[0], np.ndarray) else MAX_CHARACTERS
    for row in np.random.Generator(np.random.Philox(_SEED)).permutation(len(inputs))[:MAX_SEQUENCES].tolist():
        one = inputs[row]
        size = one.size if isinstance(one, np.ndarray) else sum(map(len, one))
        if size <= left and len(one):
            chosen.append(row)
            left -= size
    chosen.sort()
    shown = [_written(inputs[row]) if isinstance(inputs[row], np.ndarray) else list(inputs[row]) for row in chosen]
    value = {"inputs": shown, "labels": [targets[row].tolist() for row in chosen]}
    return {NAME: strict_json.dumps(value)} if chosen else {}


def steps_from_files(
    files: Mapping[str, bytes], *, num_labels: int, input_size: int
) -> tuple[list[Any], list[np.ndarray]] | None:
    """(lists of words, or frames float32 [T, I]; labels int64 [T] for each) that a bundle keeps; None: it keeps none.

    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    if not isinstance(value, dict) or value.keys() != {"inputs", "labels"}:
        raise SchemaError(f"{NAME} of a tagger must hold inputs and labels; write the bundle again")
    inputs, labels = value["inputs"], value["labels"]
    if not isinstance(inputs, list) or not isinstance(labels, list) or not 0 < len(inputs) == len(labels):
        raise SchemaError(f"{NAME}: inputs must be sequences, with labels for each")
    targets = [_integers(row, "labels") for row in labels]
    if any(len(row) and row.max() >= num_labels for row in targets):
        raise SchemaError(f"{NAME}: labels must be in 0..{num_labels - 1}")
    sequences: list[Any] = []
    for sequence, row in zip(inputs, targets, strict=True):
        is_fine = isinstance(sequence, list) and all(
            _is_frame(step, input_size) if input_size else isinstance(step, str) for step in sequence
        )
        if not is_fine or len(sequence) != len(row):
            steps = f"frames of {input_size} numbers" if input_size else "words"
            raise SchemaError(f"{NAME}: inputs must be lists of {steps}, with a label each")
        sequences.append(np.array(sequence, np.float32).reshape(-1, input_size) if input_size else sequence)
    return sequences, targets


def of_pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """The file of some held-out sources with a target each; by its name, or none if none fits.

    Which ones is drawn, as in `of_sequences`.
    """
    chosen, left = [], MAX_CHARACTERS
    for row in np.random.Generator(np.random.Philox(_SEED)).permutation(len(pairs))[:MAX_SEQUENCES].tolist():
        size = sum(map(len, pairs[row]))
        if size <= left:
            chosen.append(row)
            left -= size
    return {NAME: strict_json.dumps({"pairs": [list(pairs[row]) for row in sorted(chosen)]})} if chosen else {}


def pairs_from_files(files: Mapping[str, bytes]) -> list[tuple[str, str]] | None:
    """(source, target) of every pair that a bundle keeps; None: it keeps none.

    Raises: JsonError, SchemaError for a file that is not exactly that.
    """
    if NAME not in files:
        return None
    value: Any = strict_json.loads(files[NAME], what=NAME, max_bytes=_MAX_BYTES)
    pairs = value.get("pairs") if isinstance(value, dict) and value.keys() == {"pairs"} else None
    is_fine = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs
    )
    if not is_fine or not pairs:
        raise SchemaError(f"{NAME} of a model that writes must hold pairs of texts; write the bundle again")
    return [(source, target) for source, target in pairs]


def _is_frame(frame: Any, input_size: int) -> bool:
    return (
        isinstance(frame, list) and len(frame) == input_size and all(type(number) in (int, float) for number in frame)
    )


def _written(sequence: np.ndarray) -> list[Any]:
    """Numbers for JSON: of a float32 the fewest digits that give it."""
    if sequence.dtype.kind in "iu":
        return sequence.tolist()
    return [[float(str(number)) for number in frame] for frame in sequence.astype(np.float32)]


def _ids(value: Any, below: Sequence[int]) -> np.ndarray:
    """ids [T]; or rows [T, R] where there are several limits."""
    if len(below) == 1:
        ids = _integers(value, "inputs")
        if (ids >= below[0]).any():
            raise SchemaError(f"{NAME}: ids of inputs must be in 0..{below[0] - 1}")
        return ids
    rows = [_integers(row, "inputs") for row in value] if isinstance(value, list) else None
    if rows is None or any(len(row) != len(below) or (row >= below).any() for row in rows):
        raise SchemaError(f"{NAME}: words of inputs must be rows of {len(below)} integers, each an id that there is")
    return np.array(rows, np.int64).reshape(-1, len(below))


def _several(value: Any, num_labels: int) -> np.ndarray:
    rows = [_integers(row, "labels") for row in value] if isinstance(value, list) else []
    if any(len(row) != num_labels for row in rows):
        raise SchemaError(f"{NAME}: labels of every sequence must be {num_labels} integers, 0 or 1")
    return np.array(rows, np.int64).reshape(-1, num_labels)


def _integers(value: Any, key: str) -> np.ndarray:
    if not isinstance(value, list) or not all(type(item) is int and 0 <= item < 2**31 for item in value):
        raise SchemaError(f"{NAME}: {key} must be a list of integers in 0..2^31 - 1")
    return np.array(value, np.int64)
