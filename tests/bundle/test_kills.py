"""A writer that is killed at any instant: what it acknowledged is there, and whatever is there loads."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from rnnkit.bundle import read_bundle, write_bundle

CALLS = ("open", "write", "fsync", "replace", "unlink", "close", "mkdir")


def write(folder, version):
    """Three files change at once; the bundle's own content says which version it is."""
    config, tensors, tokens = tiny.parts(seed=version)
    config["model"]["dropout"] = version / 1e6
    extra = {"version.txt": b"%d" % version}
    write_bundle(folder, config=config, tensors=tensors, files=tiny.files(tokens) | extra)


def version_of(folder):
    """The version that a bundle says it is, once all its parts say the same."""
    bundle = read_bundle(folder)
    version = int(bundle.files["version.txt"])
    assert bundle.config["model"]["dropout"] == version / 1e6
    for name, array in tiny.parts(seed=version)[1].items():
        assert (bundle.tensors[name] == array).all(), name
    return version


def write_until_call(folder, version, number):
    """In a child: write, and die as by kill -9 just before system call `number`; whether it got to the end."""
    child = os.fork()
    if child == 0:
        left = number

        def deadly(real):
            def call(*args, **kwargs):
                nonlocal left
                if not left:
                    os._exit(9)
                left -= 1
                return real(*args, **kwargs)

            return call

        for name in CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        write(folder, version)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def kill_before_every_call(folder):
    """Returns how many calls were tried; each write continues from what the killed one before it left behind."""
    write(folder, 0)
    version, number, is_finished = 0, 0, False
    while not is_finished:
        is_finished = write_until_call(folder, version + 1, number)
        found = version_of(folder)
        assert found in ((version + 1,) if is_finished else (version, version + 1)), number
        version, number = found, number + 1
    litter = {path.name for path in folder.iterdir()}
    assert litter == {"config.json", "manifest.json", "model.safetensors", "tokenizer.json", "version.txt"}
    return number


def kill_at_random_instants(folder, kills):
    """A child writes version after version and acknowledges each through a pipe; it is killed while it does so."""
    rng, version = random.Random(kills), 0
    write(folder, 0)
    for _ in range(kills):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            for number in range(version + 1, version + 10_000):
                write(folder, number)
                os.write(write_end, b"%d\n" % number)
        os.close(write_end)
        acknowledged = os.read(read_end, 100)  # it is under way
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(read_end, 1 << 16):
            acknowledged += more
        os.close(read_end)
        last = int(acknowledged.split()[-1])
        found = version_of(folder)
        assert found in (last, last + 1)
        version = found
    return kills


def in_a_process_of_its_own(program, folder):
    """Forking is for processes without threads, which a test runner may not be."""
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    program = f"import sys; sys.path[:0] = {path}\nfrom pathlib import Path\nimport test_kills\n{program}"
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_writer_killed_before_any_system_call_leaves_the_old_bundle_or_the_new_one(tmp_path):
    calls = in_a_process_of_its_own("print(test_kills.kill_before_every_call(Path(sys.argv[1])))", tmp_path)
    assert calls > 30


@pytest.mark.parametrize("kills", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_a_writer_killed_at_random_instants_loses_nothing_that_it_acknowledged(tmp_path, kills):
    program = f"print(test_kills.kill_at_random_instants(Path(sys.argv[1]), {kills}))"
    in_a_process_of_its_own(program, tmp_path)
