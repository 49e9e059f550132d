"""A bundle on disk: `write_bundle` replaces all its files as one, `read_bundle` believes none before it has checked it.

Several files change together by one rename. Every changed file is first written in full as `NAME.next`; then
`manifest.json` is replaced, which is the instant of the change; then the `.next` files take their names. A reader takes
`NAME`, or `NAME.next` while that is the one whose digest the manifest names, so a crash anywhere leaves a whole bundle.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import durable, text
from rnnkit.bundle import int8, manifest, schema, strict_json, tensors
from rnnkit.bundle.manifest import NEXT, Entry, Manifest
from rnnkit.errors import (
    BundleError,
    DigestError,
    JsonError,
    MissingFileError,
    SaveError,
    SchemaError,
    TensorFileError,
    UnsafePathError,
)

CONFIG, TENSORS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_MAX_CONFIG_BYTES = 1 << 20
_MAX_TOKENIZER_BYTES = 1 << 28
_READ_BYTES = 1 << 20
_ATTEMPTS = 5  # a reader that meets a writer starts again; five writes within one read are no accident

Pieces = list[bytes | memoryview]


@dataclass(frozen=True)
class Bundle:
    """What a folder held: everything checked, nothing executed.

    `config`: the configuration; `tensors`: float32 arrays by name, not to be changed; `files`: the manifest's other
    files, as bytes; `tokenizer`: the one of `tokenizer.json`, or None; `digest`: SHA-256 of the manifest: it pins all.
    """

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    files: dict[str, bytes]
    tokenizer: text.Tokenizer | None
    digest: str


def write_bundle(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    files: Mapping[str, bytes] | None = None,
) -> str:
    """Write a bundle, or replace the one in `folder`; files of the folder that are not the bundle's stay.

    Whatever interrupts it, `read_bundle` then finds the old bundle or the new one, and the new one once this returns.

    Returns: the bundle's digest.
    Raises:  SchemaError, TensorError, JsonError for content that `read_bundle` refuses, before anything is written;
             SaveError, naming path and bytes, with the old bundle intact and nothing left behind.
    Cost:    three fsyncs, and two for every file that changed; at most twice the bundle's size on disk meanwhile.
    """
    folder = Path(folder)
    contents = _contents(config, tensors, files or {})
    new = Manifest({name: Entry.of(pieces) for name, pieces in contents.items()})
    is_new_folder = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = _finish(folder)
    except OSError as error:
        raise SaveError(f"cannot write a bundle into {folder}: {error.strerror or error}") from error
    changed = [name for name, entry in new.files.items() if old.files.get(name) != entry]
    staged: list[Path] = []
    try:
        for name in changed:
            staged.append(folder / (name + NEXT))
            durable.stage_file(staged[-1], contents[name], path=folder / name)
        durable.sync_folder(folder)  # the manifest must not become durable before the names that it speaks of
        durable.write_file(folder / manifest.NAME, new.to_bytes())
    except BaseException as error:
        if _manifest_bytes(folder) != new.to_bytes():  # not committed: as if nothing had happened
            for path in staged:
                path.unlink(missing_ok=True)
            if is_new_folder:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, SaveError):
            raise SaveError(f"cannot write a bundle into {folder}: {error.strerror or error}") from error
        raise
    with contextlib.suppress(OSError):  # committed; what fails here, the next reader or writer makes good
        _finish(folder)
        for name in old.files.keys() - new.files.keys():
            (folder / name).unlink(missing_ok=True)
        if is_new_folder:
            durable.sync_folder(folder.parent)
    return new.digest


def bundle_digest(
    *, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], files: Mapping[str, bytes] | None = None
) -> str:
    """The digest that `write_bundle` would give this content; nothing is written."""
    contents = _contents(config, tensors, files or {})
    return Manifest({name: Entry.of(pieces) for name, pieces in contents.items()}).digest


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle.

    Runs no code, reads nothing outside `folder`, follows no link inside it, and holds at most the files' bytes.

    Raises: BundleError, by its subclasses, for anything that is not exactly what was written; the message names file,
        fault and remedy.
    Cost:   one read and one SHA-256 of every file.
    """
    folder = Path(folder)
    with _opened(folder) as descriptor:
        content = _manifest_content(descriptor, folder)
        for _ in range(_ATTEMPTS):
            try:
                return _read(descriptor, folder, Manifest.from_bytes(content))
            except BundleError:
                before, content = content, _manifest_content(descriptor, folder)
                if content == before:  # it is the bundle, not a writer that went past
                    raise
    raise BundleError(f"{folder} changed {_ATTEMPTS} times while it was read; stop the writer, or read a copy")


# ---- reading -----------------------------------------------------------------------------------------------------


def _read(descriptor: int, folder: Path, listed: Manifest) -> Bundle:
    for name in (CONFIG, TENSORS):
        if name not in listed.files:
            raise SchemaError(f"{folder / manifest.NAME} lists no {name}; it is not a model's bundle")
    data = _checked_file(descriptor, folder, CONFIG, listed.files[CONFIG], most=_MAX_CONFIG_BYTES)
    config = strict_json.loads(bytes(data), what=str(folder / CONFIG), max_bytes=_MAX_CONFIG_BYTES)
    shapes = schema.check_config(config)
    files: dict[str, bytes] = {}
    for name in listed.files.keys() - {CONFIG, TENSORS}:
        most = _MAX_TOKENIZER_BYTES if name == TOKENIZER else None
        files[name] = bytes(_checked_file(descriptor, folder, name, listed.files[name], most=most))
    tokenizer = _tokenizer(config, files, folder)
    most = 4 * sum(math.prod(shape) for shape in shapes.values()) + tensors.MAX_HEADER_BYTES + 8
    data = _checked_file(descriptor, folder, TENSORS, listed.files[TENSORS], most=most)
    arrays = tensors.unpack(data, what=str(folder / TENSORS))
    if config["precision"] == "int8":
        arrays = int8.restored(arrays, shapes)
    schema.check_tensors(config, arrays)
    tensors.check_finite(arrays)
    return Bundle(config, arrays, files, tokenizer, listed.digest)


def _tokenizer(config: Mapping[str, Any], files: Mapping[str, bytes], folder: Path) -> text.Tokenizer | None:
    if TOKENIZER not in files:
        model = config["model"]
        has_words = model.get("num_characters") or model.get("num_features")  # their vocabulary is in its place
        if config["kind"] in ("language_model", "encoder_decoder", "transformer") or (
            config["kind"] == "acceptor" and model["vocab_size"] and not has_words
        ):
            raise SchemaError(f"{folder} holds a model of text without {TOKENIZER}; write the bundle with it")
        return None
    try:
        tokenizer = text.from_json(files[TOKENIZER].decode("utf-8"))
    except ValueError as error:  # DataError, or bytes that are no UTF-8
        raise SchemaError(f"{folder / TOKENIZER} is no tokeniser of rnnkit: {error}") from error
    schema.check_vocabulary(config, tokenizer.vocab_size)
    return tokenizer


def _checked_file(descriptor: int, folder: Path, name: str, entry: Entry, *, most: int | None) -> np.ndarray:
    """The bytes of `name` (or of its staged successor) that have the digest the manifest names."""
    if most is not None and entry.size > most:
        kind = TensorFileError if name == TENSORS else JsonError
        raise kind(f"{folder / name} has {entry.size} bytes, the configuration accounts for at most {most}")
    faults: list[BundleError] = []
    for candidate in (name, name + NEXT, name):  # again the first: a writer may have renamed between the two looks
        try:
            return _bytes_of(descriptor, folder, candidate, entry=entry)
        except (DigestError, MissingFileError) as error:
            faults.append(error)
    raise faults[0]


def _bytes_of(descriptor: int, folder: Path, name: str, *, entry: Entry) -> np.ndarray:
    """The content of the plain file that `entry` describes. Never blocks, never follows a link."""
    path = folder / name
    with _plain_file(descriptor, path) as (file, found):
        if found != entry.size:
            raise DigestError(f"{path} has {found} bytes, its manifest says {entry.size}; copy the bundle again")
        try:
            data = np.empty(entry.size, np.uint8)
        except MemoryError:
            raise BundleError(f"{path} needs {entry.size} bytes of memory; use a machine that has them") from None
        view, position = data.data, 0
        while position < entry.size:
            count = os.readv(file, [view[position : position + _READ_BYTES]])
            if not count:
                raise DigestError(f"{path} became shorter while it was read; copy the bundle again")
            position += count
    if Entry.of([view]) != entry:
        raise DigestError(f"{path} is damaged (SHA-256 mismatch); copy the bundle again")
    return data


@contextlib.contextmanager
def _plain_file(descriptor: int, path: Path) -> Iterator[tuple[int, int]]:
    """A descriptor and the size of a regular file directly in the folder that `descriptor` holds open."""
    try:
        kind = os.stat(path.name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if not stat.S_ISREG(kind):  # looked at before opening: opening a device can itself do something
            raise UnsafePathError(f"{path} is a {_kind_name(kind)}; a bundle holds plain files only")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(path.name, flags, dir_fd=descriptor)
    except FileNotFoundError:
        raise MissingFileError(f"{path} is not there; copy the whole folder") from None
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafePathError(f"{path} is a {_kind_name(status.st_mode)}; a bundle holds plain files only")
        yield file, status.st_size
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}") from error
    finally:
        os.close(file)


def _kind_name(mode: int) -> str:
    kinds = {stat.S_IFLNK: "link", stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder itself, held open: a rename of it cannot lead a read elsewhere."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MissingFileError(f"there is no folder {folder}; give the run's folder") from None
    except NotADirectoryError:
        raise UnsafePathError(f"{folder} is no folder; give the folder that holds {manifest.NAME}") from None
    except OSError as error:
        raise BundleError(f"cannot open {folder}: {error.strerror or error}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _manifest_content(descriptor: int, folder: Path) -> bytes:
    path = folder / manifest.NAME
    with _plain_file(descriptor, path) as (file, size):
        if size > manifest.MAX_BYTES:
            raise JsonError(f"{path} has {size} bytes, at most {manifest.MAX_BYTES} are read; is it the right file?")
        return os.read(file, manifest.MAX_BYTES)


# ---- writing -----------------------------------------------------------------------------------------------------


def _contents(
    config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], files: Mapping[str, bytes]
) -> dict[str, Pieces]:
    """Every file of the bundle, once its reader is known to accept it."""
    schema.check_tensors(config, arrays)
    for name in files:
        manifest.check_name(name)
        if name in (CONFIG, TENSORS):
            raise SchemaError(f"{name} is written from config= and tensors=, not from files=")
    _tokenizer(config, files, Path())
    arrays = int8.quantised(arrays) if config["precision"] == "int8" else arrays
    return {CONFIG: [strict_json.dumps(config)], TENSORS: tensors.pack(arrays), **{n: [d] for n, d in files.items()}}


def _finish(folder: Path) -> Manifest:
    """Rename what an earlier write committed but did not rename, drop what it did not commit; what is then in place.

    Without this a second write would overwrite a `.next` file that is the only copy of the committed one.
    """
    try:
        listed = Manifest.from_bytes(_manifest_bytes(folder))
    except BundleError:  # no bundle yet, or a damaged one: nothing to keep, everything to write
        listed = Manifest({})
    renamed = False
    for name, entry in listed.files.items():
        staged = folder / (name + NEXT)
        if not staged.exists():
            continue
        if _has_entry(staged, entry):
            staged.replace(folder / name)
            renamed = True
        else:
            staged.unlink()
    if renamed:
        durable.sync_folder(folder)
    return Manifest({name: entry for name, entry in listed.files.items() if _has_entry(folder / name, entry)})


def _manifest_bytes(folder: Path) -> bytes:
    try:
        with _opened(folder) as descriptor:
            return _manifest_content(descriptor, folder)
    except BundleError:
        return b""


def _has_entry(path: Path, entry: Entry) -> bool:
    """Whether a file is there and is exactly what `entry` says."""
    try:
        with _opened(path.parent) as descriptor:
            _bytes_of(descriptor, path.parent, path.name, entry=entry)
    except BundleError:
        return False
    return True
