"""The manifest: the format's version and the SHA-256 of every file that the runtime reads, in one spelling only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rnnkit.bundle import strict_json
from rnnkit.errors import DigestError, SchemaError, UnsafePathError, VersionError

FORMAT = 1
NAME = "manifest.json"
NEXT = ".next"  # what a staged file's name ends in, between being written and being renamed
MAX_BYTES = 1 << 20

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one file: its length and the SHA-256 of its content, in hexadecimal."""

    size: int
    sha256: str

    @classmethod
    def of(cls, pieces: Iterable[bytes | memoryview]) -> Entry:
        """The entry of a file made of `pieces`."""
        size, sha256 = 0, hashlib.sha256()
        for piece in pieces:
            size += len(piece)
            sha256.update(piece)
        return cls(size, sha256.hexdigest())


@dataclass(frozen=True)
class Manifest:
    """The files of a bundle, by name."""

    files: dict[str, Entry]

    def to_bytes(self) -> bytes:
        """The content of `manifest.json`: canonical, so equal manifests are equal bytes."""
        files = {name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in self.files.items()}
        return strict_json.dumps({"files": files, "format": FORMAT})

    @property
    def digest(self) -> str:
        """The bundle's digest: SHA-256 of the manifest's canonical content, which pins every byte the runtime reads."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read `manifest.json`.

        Raises: JsonError, SchemaError; VersionError for another format; UnsafePathError for a name that is no plain
            file name; DigestError for bytes that mean a manifest but are not its canonical spelling.
        """
        value = strict_json.loads(data, what=NAME, max_bytes=MAX_BYTES)
        if not isinstance(value, dict) or type(value.get("format")) is not int:
            raise SchemaError(f'{NAME} must be an object with "format": {FORMAT}; is this a bundle of rnnkit?')
        if value["format"] != FORMAT:
            remedy = "upgrade rnnkit" if value["format"] > FORMAT else "it was never released"
            raise VersionError(f"{NAME} says format {value['format']}, this rnnkit reads {FORMAT}; {remedy}")
        files = value.get("files")
        if value.keys() != {"files", "format"} or not isinstance(files, dict):
            raise SchemaError(f"{NAME} must have exactly the keys files and format, got {', '.join(value)[:200]}")
        manifest = cls({name: _entry(name, fields) for name, fields in files.items()})
        if manifest.to_bytes() != data:
            raise DigestError(f"{NAME} was changed after it was written (spaces, line ends, order); copy it unchanged")
        return manifest


def check_name(name: str) -> None:
    """Refuse a name that is not one plain file inside the folder.

    Raises: UnsafePathError.
    """
    if not _FILE_NAME.fullmatch(name) or name.endswith(NEXT) or name == NAME:
        raise UnsafePathError(
            f"{name[:120]!r} cannot be a file of a bundle: letters, digits, '.', '_' and '-' only, in the folder itself"
        )


def _entry(name: str, fields: Any) -> Entry:
    check_name(name)
    if not isinstance(fields, dict) or fields.keys() != {"bytes", "sha256"}:
        raise SchemaError(f"{NAME} must give {name} exactly the keys bytes and sha256")
    size, sha256 = fields["bytes"], fields["sha256"]
    if type(size) is not int or size < 0:
        raise SchemaError(f"{NAME} gives {name} the size {str(size)[:40]}; a number of bytes is wanted")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise SchemaError(f"{NAME} gives {name} no SHA-256; 64 hexadecimal digits are wanted")
    return Entry(size, sha256)
