import errno
import os
import resource
import signal
import stat
import subprocess
import sys

import pytest
import tiny

from rnnkit import durable
from rnnkit.bundle import read_bundle, write_bundle
from rnnkit.errors import SaveError


class FullDisk:
    """An os.write that has room for so many bytes, takes them piece by piece, and then says ENOSPC."""

    def __init__(self, room, piece=64):
        self.room, self.piece, self.write = room, piece, os.write

    def __call__(self, descriptor, data):
        size = min(len(data), self.room, self.piece)
        if not size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size
        return self.write(descriptor, data[:size])


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    durable.write_file(path, b"old")
    durable.write_file(path, [b"new", memoryview(b" and"), b"", memoryview(b" longer")])
    assert path.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_the_order_is_write_fsync_replace_fsync_folder(tmp_path, monkeypatch):
    calls = []

    def recorded(name):
        real = getattr(os, name)

        def call(*args, **kwargs):
            is_folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            calls.append("fsync folder" if is_folder else name)
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in ("write", "fsync", "replace"):
        recorded(name)
    durable.write_file(tmp_path / "file", b"data")
    assert calls == ["write", "fsync", "replace", "fsync folder"]
    config, tensors, tokens = tiny.parts()
    calls.clear()
    write_bundle(tmp_path, config=config, tensors=tensors, files=tiny.files(tokens))
    merged = [call for number, call in enumerate(calls) if call != "write" or calls[number - 1] != "write"]
    staged = ["write", "fsync"] * 3
    commit = ["fsync folder", "write", "fsync", "replace", "fsync folder"]
    assert merged == [*staged, *commit, *["replace"] * 3, "fsync folder"]


def test_a_full_disk_at_any_of_200_places_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    durable.write_file(path, b"old")
    for room in range(200):
        with monkeypatch.context() as patch, pytest.raises(SaveError) as caught:
            patch.setattr(os, "write", FullDisk(room))
            durable.write_file(path, bytes(200))
        assert str(path) in str(caught.value)
        assert f"after {room} bytes" in str(caught.value)
        assert "No space left" in str(caught.value)
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_at_any_of_200_places_of_a_bundle_leaves_the_old_bundle_and_nothing_else(tmp_path, monkeypatch):
    _, old, tokens = tiny.parts(seed=1)
    config, new, _ = tiny.parts(seed=2, dropout=0.5)
    files = tiny.files(tokens)
    digest = write_bundle(tmp_path / "old", config=tiny.parts()[0], tensors=old, files=files)
    names = {path.name for path in (tmp_path / "old").iterdir()}
    write_bundle(tmp_path / "size", config=config, tensors=new, files=files)
    changed = ("config.json", "model.safetensors", "manifest.json")
    total = sum((tmp_path / "size" / name).stat().st_size for name in changed)
    for place in range(200):
        with monkeypatch.context() as patch, pytest.raises(SaveError, match=r"cannot write .*old.* after \d+ bytes"):
            patch.setattr(os, "write", FullDisk(place * total // 200))
            write_bundle(tmp_path / "old", config=config, tensors=new, files=files)
        assert read_bundle(tmp_path / "old").digest == digest
        assert {path.name for path in (tmp_path / "old").iterdir()} == names
        with monkeypatch.context() as patch, pytest.raises(SaveError):
            patch.setattr(os, "write", FullDisk(place * total // 200))
            write_bundle(tmp_path / "fresh", config=config, tensors=new, files=files)
        assert not (tmp_path / "fresh").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_to_sync_or_rename_is_an_error_that_names_the_file(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    durable.write_file(path, b"old")

    def failing(*args, **kwargs):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(SaveError, match=r"file.*Input/output error"):
        patch.setattr(os, call, failing)
        durable.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_no_litter(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "write", interrupted)
        durable.write_file(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_the_system_itself_is_met_the_same_way(tmp_path):
    program = """
import sys
from pathlib import Path
from rnnkit import durable
from rnnkit.errors import SaveError
try:
    durable.write_file(Path(sys.argv[1]), bytes(10_000))
except SaveError as error:
    print(error)
"""

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-B", "-c", program, str(path)]
    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=True)
    assert f"cannot write {path} after 4000 bytes: File too large" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(SaveError, match=r"nowhere/file after 0 bytes: No such file"):
        durable.write_file(tmp_path / "nowhere" / "file", b"")
