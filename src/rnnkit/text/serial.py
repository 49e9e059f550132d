"""Reading a tokeniser's JSON form; whatever is wrong with it is refused by name."""

from __future__ import annotations

import json
from typing import Any

from rnnkit.errors import ArgumentError, DataError
from rnnkit.text.bpe import BpeTokenizer
from rnnkit.text.byte import ByteTokenizer
from rnnkit.text.char import CharTokenizer
from rnnkit.text.tokenizer import FORMAT, Tokenizer
from rnnkit.text.word import WordTokenizer

_FIELDS: dict[str, dict[str, type]] = {
    "byte": {},
    "char": {"characters": str, "with_unknown": bool},
    "word": {"words": list, "split_punctuation": bool},
    "bpe": {"merges": list},
}


def from_json(data: str) -> Tokenizer:
    """The tokeniser whose `to_json` gave `data`.

    Raises: DataError naming the field that is missing, unknown, there twice, of the wrong type or out of range, and a
        format from the future.
    """
    fields = _parse(data)
    version = _field(fields, "format", int)
    if version != FORMAT:
        raise DataError(
            f"tokeniser JSON: format {version}, this rnnkit reads {FORMAT}; install the rnnkit that wrote it"
        )
    kind = _field(fields, "kind", str)
    if kind not in _FIELDS:
        raise DataError(f"tokeniser JSON: kind {kind!r}, known are {', '.join(_FIELDS)}; install a newer rnnkit")
    special_tokens = _strings("special_tokens", _field(fields, "special_tokens", list))
    own = {name: _field(fields, name, wanted) for name, wanted in _FIELDS[kind].items()}
    if fields:
        raise DataError(
            f"tokeniser JSON: unknown field {min(fields)!r} for kind {kind!r}; take the file from its bundle"
        )
    try:
        if kind == "byte":
            return ByteTokenizer(special_tokens=special_tokens)
        if kind == "char":
            return CharTokenizer(own["characters"], with_unknown=own["with_unknown"], special_tokens=special_tokens)
        if kind == "word":
            words = _strings("words", own["words"])
            return WordTokenizer(words, split_punctuation=own["split_punctuation"], special_tokens=special_tokens)
        return BpeTokenizer(_pairs("merges", own["merges"]), special_tokens=special_tokens)
    except ArgumentError as error:
        raise DataError(f"tokeniser JSON: {error}") from None


def _parse(data: str) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in pairs:
            if name in fields:
                raise DataError(f"tokeniser JSON: field {name!r} is there twice; take the file from its bundle")
            fields[name] = value
        return fields

    def refuse(constant: str) -> Any:
        raise DataError(f"tokeniser JSON: {constant} is no JSON value; take the file from its bundle")

    try:
        fields = json.loads(data, object_pairs_hook=once, parse_constant=refuse)
    except RecursionError:
        raise DataError("tokeniser JSON: nested too deeply; take the file from its bundle") from None
    except json.JSONDecodeError as error:
        raise DataError(f"tokeniser JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:  # an integer of thousands of digits
        if isinstance(error, DataError):
            raise
        raise DataError(f"tokeniser JSON: {error}") from None
    if not isinstance(fields, dict):
        raise DataError(f"tokeniser JSON: an object is wanted, got a {type(fields).__name__}")
    return fields


def _field(fields: dict[str, Any], name: str, wanted: type) -> Any:
    if name not in fields:
        raise DataError(f"tokeniser JSON: field {name!r} is missing; take the file from its bundle")
    value = fields.pop(name)
    if type(value) is not wanted:
        raise DataError(f"tokeniser JSON: {name!r} is a {type(value).__name__}, a {wanted.__name__} is wanted")
    if isinstance(value, str):
        _strings(name, [value])
    return value


def _strings(name: str, values: list[Any]) -> list[str]:
    for at, value in enumerate(values):
        if not isinstance(value, str):
            raise DataError(f"tokeniser JSON: entry {at} of {name!r} is a {type(value).__name__}, a str is wanted")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise DataError(f"tokeniser JSON: entry {at} of {name!r} contains a lone surrogate")
    return values


def _pairs(name: str, values: list[Any]) -> list[tuple[int, int]]:
    for at, value in enumerate(values):
        if not (isinstance(value, list) and len(value) == 2 and all(type(i) is int for i in value)):
            raise DataError(f"tokeniser JSON: entry {at} of {name!r} is no pair of ids: {str(value)[:60]}")
    return [(left, right) for left, right in values]
