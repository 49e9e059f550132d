import numpy as np
import pytest
import tiny

from rnnkit.bundle import read_bundle, write_bundle
from rnnkit.errors import BundleError

FLIPS = 2000


@pytest.fixture
def run(tmp_path):
    config, tensors, tokens = tiny.parts(hidden_size=2)
    write_bundle(tmp_path, config=config, tensors=tensors, files=tiny.files(tokens))
    return tmp_path


def test_every_one_of_2000_bit_flips_is_refused(run):
    paths = sorted(run.iterdir())
    rng = np.random.default_rng(1)
    for number in range(FLIPS):
        path = paths[number % len(paths)]
        data = bytearray(path.read_bytes())
        bit = int(rng.integers(8 * len(data)))
        data[bit // 8] ^= 1 << bit % 8
        good = path.read_bytes()
        path.write_bytes(data)
        with pytest.raises(BundleError):
            read_bundle(run)
            pytest.fail(f"bit {bit} of {path.name} was flipped and nobody noticed")
        path.write_bytes(good)
    read_bundle(run)


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "model.safetensors", "tokenizer.json"])
def test_truncation_at_every_byte_of_a_file_is_refused(run, name):
    good = (run / name).read_bytes()
    header = len(good) if name != "model.safetensors" else 8 + int.from_bytes(good[:8], "little") + 1
    for size in range(min(header, len(good))):
        (run / name).write_bytes(good[:size])
        with pytest.raises(BundleError):
            read_bundle(run)
            pytest.fail(f"{name} was cut to {size} bytes and nobody noticed")


def test_a_truncated_header_is_refused_even_when_its_digest_is_right(run):
    contents = {name: (run / name).read_bytes() for name in ("config.json", "model.safetensors", "tokenizer.json")}
    good = contents["model.safetensors"]
    for size in range(8 + int.from_bytes(good[:8], "little") + 1):
        tiny.forge(run, contents | {"model.safetensors": good[:size]})
        with pytest.raises(BundleError):
            read_bundle(run)
            pytest.fail(f"a header of {size} bytes was believed")
