import numpy as np
import pytest
import tiny

from rnnkit.bundle import evaluation, labels, read_bundle, write_bundle
from rnnkit.errors import BundleError

FLIPS = 2000


@pytest.fixture(params=["language model", "classifier", "tagger"])
def run(tmp_path, request):
    if request.param == "classifier":
        config, tensors, tokens = tiny.classifier(hidden_size=2, readout=["attention", "max"])
        files = {labels.NAME: labels.to_bytes(tiny.LABELS), **evaluation.of_sequences([np.arange(3)], np.array([1]))}
        files |= tiny.files(tokens)
    elif request.param == "tagger":
        config, tensors, words = tiny.tagger(hidden_size=2)
        files = tiny.tagger_files(words)
    else:
        config, tensors, tokens = tiny.parts(hidden_size=2)
        files = tiny.files(tokens)
    write_bundle(tmp_path, config=config, tensors=tensors, files=files)
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


@pytest.mark.parametrize("name", ["manifest.json", "config.json", "model.safetensors", "the others"])
def test_truncation_at_every_byte_of_a_file_is_refused(run, name):
    others = {path.name for path in run.iterdir()} - {"manifest.json", "config.json", "model.safetensors"}
    for one in others if name == "the others" else [name]:
        cut_everywhere(run, one)


def cut_everywhere(run, name):
    good = (run / name).read_bytes()
    header = len(good) if name != "model.safetensors" else 8 + int.from_bytes(good[:8], "little") + 1
    for size in range(min(header, len(good))):
        (run / name).write_bytes(good[:size])
        with pytest.raises(BundleError):
            read_bundle(run)
            pytest.fail(f"{name} was cut to {size} bytes and nobody noticed")
    (run / name).write_bytes(good)


def test_a_truncated_header_is_refused_even_when_its_digest_is_right(run):
    contents = {path.name: path.read_bytes() for path in run.iterdir() if path.name != "manifest.json"}
    good = contents["model.safetensors"]
    for size in range(8 + int.from_bytes(good[:8], "little") + 1):
        tiny.forge(run, contents | {"model.safetensors": good[:size]})
        with pytest.raises(BundleError):
            read_bundle(run)
            pytest.fail(f"a header of {size} bytes was believed")
