"""The corpus of bundles that lie: each is refused by an error of its own, quickly, in little memory, without blocking.

Over 400 lines because it is one list: a case is a few lines, and a newcomer adds the next one beside its kin.
"""

import json
import os
import re
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tiny

from rnnkit import runtime
from rnnkit.bundle import labels, ngrams, read_bundle, strict_json, tensors
from rnnkit.errors import (
    BundleError,
    DigestError,
    JsonError,
    MissingFileError,
    SchemaError,
    TensorError,
    TensorFileError,
    UnsafePathError,
    VersionError,
)

MEMORY = 64 << 20
CASES = {}


def case(error, message, **variants):
    """Register a function (folder, contents, variant) -> None, once or once per variant."""

    def register(function):
        name = function.__name__.replace("_", " ")
        for variant, value in (variants or {"": None}).items():
            key = f"{name} {variant}".strip()
            assert key not in CASES
            CASES[key] = (function, value, error, message)
        return function

    return register


def contents():
    config, arrays, tokens = tiny.parts()
    packed = b"".join(bytes(piece) for piece in tensors.pack(arrays))
    return {"config.json": strict_json.dumps(config), "model.safetensors": packed} | tiny.files(tokens)


# ---- the folder and the manifest ---------------------------------------------------------------------------------


@case(MissingFileError, "there is no folder")
def no_folder(folder, good, _):
    pass


@case(UnsafePathError, "is no folder")
def a_file_instead_of_a_folder(folder, good, _):
    folder.write_bytes(b"")


@case(MissingFileError, r"manifest\.json is not there")
def no_manifest(folder, good, _):
    folder.mkdir()


@case(
    JsonError,
    r"manifest\.json",
    empty=b"",
    cut=b'{"files": {',
    not_utf8=b"\xff\xfe{}",
    byte_order_mark=b"\xef\xbb\xbf{}",
    nan=b'{"format": NaN}',
    infinity=b'{"format": -Infinity}',
    out_of_range=b'{"format": 1e999}',
    huge_integer=b'{"format": ' + b"9" * 100_000 + b"}",
    key_twice=b'{"format": 1, "format": 1}',
    nested_lists=b"[" * 100_000,
    nested_objects=b'{"a":' * 100_000,
    half_a_surrogate_pair=b'{"format": "\\ud800"}',
    too_long=b" " * (2 << 20),
    trailing_text=b"{} {}",
)
def a_manifest_that_is_no_strict_json(folder, good, data):
    folder.mkdir()
    (folder / "manifest.json").write_bytes(data)


@case(
    SchemaError,
    '"format": 1',
    list=b"[]",
    string=b'"x"',
    no_format=b"{}",
    text=b'{"format": "1"}',
    flag=b'{"format": true}',
)
def a_manifest_without_a_format(folder, good, data):
    a_manifest_that_is_no_strict_json(folder, good, data)


@case(VersionError, "says format 2, this rnnkit reads 1; upgrade", future=2)
@case(VersionError, "says format 0, this rnnkit reads 1; it was never released", past=0)
def a_manifest_of_another_format(folder, good, version):
    tiny.forge(folder, good, manifest=lambda value: value.update(format=version))


@case(SchemaError, "exactly the keys files and format", extra={"more": 1}, files_list={"files": []})
def a_manifest_of_other_keys(folder, good, change):
    tiny.forge(folder, good, manifest=lambda value: value.update(change))


@case(
    DigestError,
    "was changed after it was written",
    compact=lambda data: json.dumps(json.loads(data), sort_keys=True).encode(),
    line_ends=lambda data: data.replace(b"\n", b"\r\n"),
    no_newline=lambda data: data.rstrip(),
)
def a_manifest_in_another_spelling(folder, good, change):
    tiny.forge(folder, good)
    path = folder / "manifest.json"
    path.write_bytes(change(path.read_bytes()))


@case(
    UnsafePathError,
    "cannot be a file of a bundle",
    parent="../x",
    absolute="/etc/passwd",
    below="a/b",
    backslash="..\\x",
    empty="",
    hidden=".hidden",
    itself="manifest.json",
    staged="x.next",
    nul="x\0y",
    newline="x\n",
    long="x" * 5000,
)
def a_name_that_is_no_plain_file_name(folder, good, name):
    def add(value):
        value["files"][name] = {"bytes": 0, "sha256": "0" * 64}

    tiny.forge(folder, good, manifest=add)


@case(
    SchemaError,
    "exactly the keys bytes and sha256",
    without_a_digest={"bytes": 1},
    with_more={"bytes": 1, "sha256": "0" * 64, "mode": 0},
    that_is_text="0" * 64,
)
def an_entry(folder, good, entry):
    tiny.forge(folder, good, manifest=lambda value: value["files"].update({"config.json": entry}))


@case(
    SchemaError, "a number of bytes is wanted", negative={"bytes": -1}, fraction={"bytes": 0.5}, truth={"bytes": True}
)
@case(SchemaError, "64 hexadecimal digits", short={"sha256": "ab"}, upper={"sha256": "A" * 64}, number={"sha256": 1})
def an_entry_whose_value_is(folder, good, change):
    tiny.forge(folder, good, manifest=lambda value: value["files"]["config.json"].update(change))


@case(SchemaError, "lists no", config="config.json", tensors="model.safetensors")
def a_file_that_is_not_listed(folder, good, name):
    tiny.forge(folder, {key: data for key, data in good.items() if key != name})


# ---- files -------------------------------------------------------------------------------------------------------


@case(MissingFileError, "is not there; copy the whole folder", **{name.split(".")[0]: name for name in contents()})
def a_listed_file_that_is_missing(folder, good, name):
    tiny.forge(folder, good)
    (folder / name).unlink()


def replaced(folder, good, name):
    tiny.forge(folder, good)
    path = folder / name
    path.unlink()
    return path


@case(UnsafePathError, "is a link", config="config.json", model="model.safetensors", manifest="manifest.json")
def a_link_out_of_the_folder(folder, good, name):
    path = replaced(folder, good, name)
    outside = folder.parent / "outside"
    outside.write_bytes(good.get(name, b"{}"))
    path.symlink_to(outside)


@case(UnsafePathError, "is a link")
def a_link_inside_the_folder(folder, good, _):
    path = replaced(folder, good, "model.safetensors")
    (folder / "other").write_bytes(good["model.safetensors"])
    path.symlink_to("other")


@case(UnsafePathError, "is a link")
def a_link_to_a_device(folder, good, _):
    replaced(folder, good, "model.safetensors").symlink_to("/dev/zero")


@case(UnsafePathError, "is a pipe", config="config.json", model="model.safetensors", manifest="manifest.json")
def a_pipe(folder, good, name):
    os.mkfifo(replaced(folder, good, name))


@case(UnsafePathError, "is a folder")
def a_folder_instead_of_a_file(folder, good, _):
    replaced(folder, good, "model.safetensors").mkdir()


@case(UnsafePathError, "is a socket")
def a_socket(folder, good, _):
    path = replaced(folder, good, "model.safetensors")
    listener, here = socket.socket(socket.AF_UNIX), Path.cwd()
    os.chdir(folder)  # a socket's path may have 108 bytes
    try:
        listener.bind(path.name)
    finally:
        os.chdir(here)
        listener.close()


@case(DigestError, r"has \d+ bytes, its manifest says", longer=b"more", shorter=None)
def a_file_of_another_length(folder, good, more):
    tiny.forge(folder, good)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes() + more if more else path.read_bytes()[:-1])


@case(DigestError, "SHA-256 mismatch", **{name.split(".")[0]: name for name in contents()})
def a_file_of_other_content(folder, good, name):
    tiny.forge(folder, good)
    (folder / name).write_bytes(good[name][:-1] + b"?")


@case(TensorFileError, "the configuration accounts for at most")
def a_sparse_file_of_a_terabyte(folder, good, _):
    tiny.forge(folder, good, manifest=lambda value: value["files"]["model.safetensors"].update(bytes=1 << 40))
    os.truncate(folder / "model.safetensors", 1 << 40)


@case(JsonError, "has 1099511627776 bytes")
def a_sparse_configuration_of_a_terabyte(folder, good, _):
    tiny.forge(folder, good, manifest=lambda value: value["files"]["config.json"].update(bytes=1 << 40))
    os.truncate(folder / "config.json", 1 << 40)


# ---- the configuration and the tokeniser -------------------------------------------------------------------------


@case(
    JsonError,
    r"config\.json",
    nan=b'{"format": NaN}',
    key_twice=b'{"format": 1, "format": 1}',
    nested=b"[" * 100_000,
    not_utf8=b"\xff",
)
def a_configuration_that_is_no_strict_json(folder, good, data):
    tiny.forge(folder, good | {"config.json": data})


def reconfigured(folder, good, **changes):
    tiny.forge(folder, good | {"config.json": strict_json.dumps(json.loads(good["config.json"]) | changes)})


@case(VersionError, "configuration has format 2", future={"format": 2})
@case(
    SchemaError,
    "kind 'oracle' is not known; this rnnkit runs language_model, bidirectional_language_model",
    kind={"kind": "oracle"},
)
@case(SchemaError, "kind .* is not known", kind_list={"kind": ["language_model"]})
@case(SchemaError, "precision 'int1' is not known; this rnnkit runs fp32", precision={"precision": "int1"})
@case(SchemaError, "unknown key 'knd'; is it kind", near={"knd": 1})
@case(SchemaError, "model must be an object", no_object={"model": []})
def a_configuration(folder, good, changes):
    reconfigured(folder, good, **changes)


@case(SchemaError, "an object is wanted")
def a_configuration_that_is_a_list(folder, good, _):
    tiny.forge(folder, good | {"config.json": b"[]"})


@case(SchemaError, "the configuration lacks the key precision")
def a_configuration_without_a_precision(folder, good, _):
    config = json.loads(good["config.json"])
    del config["precision"]
    tiny.forge(folder, good | {"config.json": strict_json.dumps(config)})


@case(SchemaError, r"model\.hidden_size is 0; an integer from 1", zero={"hidden_size": 0})
@case(SchemaError, r"model\.hidden_size is -5", negative={"hidden_size": -5})
@case(SchemaError, r"model\.hidden_size is 9223372036854775808", huge={"hidden_size": 2**63})
@case(SchemaError, r"model\.hidden_size is 5\.0", fraction={"hidden_size": 5.0})
@case(SchemaError, r"model\.hidden_size is True", truth={"hidden_size": True})
@case(SchemaError, r"model\.num_layers is 1000000000", many_layers={"num_layers": 10**9})
@case(SchemaError, r"model\.bias is 1; true or false", bias={"bias": 1})
@case(SchemaError, r"model\.cell 'lstn' is not known", cell={"cell": "lstn"})
@case(SchemaError, r"model\.cell \['lstm'\] is not known", cell_list={"cell": ["lstm"]})
@case(SchemaError, r"unknown key 'hiden_size'; is it hidden_size", near={"hiden_size": 5})
@case(SchemaError, "tied needs an embedding", tied={"tied": True})
@case(SchemaError, "softmax 'full' is 'full' without cutoffs", cutoffs={"cutoffs": [3]})
@case(SchemaError, "softmax 'sharp'", softmax={"softmax": "sharp"})
@case(SchemaError, "must rise within", falling={"softmax": "adaptive", "cutoffs": [9, 3]})
@case(SchemaError, "must rise within", none={"softmax": "adaptive"})
@case(SchemaError, "must be a list of integers", text={"softmax": "adaptive", "cutoffs": "39"})
@case(SchemaError, "too many for 5 dimensions", clusters={"softmax": "adaptive", "cutoffs": [3, 9]})
@case(TensorFileError, "accounts for at most", more=b"\0" * (2 << 20))
@case(
    TensorError,
    r"recurrent\.weight_ih_l0 has the shape \[20, \d+\].*wants \[15, \d+\]",
    other_cell={"cell": "gru_after"},
)
@case(TensorError, r"tensor recurrent\.bias_hh_l0|tensor 'recurrent\.bias_hh_l0' is left over", no_bias={"bias": False})
@case(TensorError, r"tensor recurrent\.bias_hh_l1 \[20\] is missing", another_layer={"num_layers": 2})
@case(TensorError, r"tensor embedding\.weight \[\d+, 3\] is missing", embedding={"embedding_size": 3})
def a_model(folder, good, changes):
    if isinstance(changes, bytes):
        good = good | {"model.safetensors": good["model.safetensors"] + changes}
        changes = {}
    model = json.loads(good["config.json"])["model"] | changes
    reconfigured(folder, good, model=model)


@case(SchemaError, "lacks the key cell")
def a_model_without_a_cell(folder, good, _):
    model = json.loads(good["config.json"])["model"]
    del model["cell"]
    reconfigured(folder, good, model=model)


@case(SchemaError, r"without tokenizer\.json")
def a_language_model_without_a_tokeniser(folder, good, _):
    tiny.forge(folder, {name: data for name, data in good.items() if name != "tokenizer.json"})


@case(
    SchemaError,
    r"tokenizer\.json is no tokeniser of rnnkit",
    not_json=b"{",
    list=b"[]",
    nested=b"[" * 100_000,
    nan=b'{"format": NaN}',
    not_utf8=b"\xff",
    future=b'{"format": 99, "kind": "byte", "special_tokens": []}',
    other_kind=b'{"format": 1, "kind": "runes", "special_tokens": []}',
    many_fields=json.dumps(dict.fromkeys(map(str, range(50_000)), 0)).encode(),
)
def a_tokeniser(folder, good, data):
    tiny.forge(folder, good | {"tokenizer.json": data})


@case(SchemaError, r"the tokeniser has 50256 tokens, the model \d\d")
def a_tokeniser_of_many_special_tokens(folder, good, _):
    names = [f"<{number}>" for number in range(50_000)]
    data = json.dumps({"format": 1, "kind": "byte", "special_tokens": names}).encode()
    tiny.forge(folder, good | {"tokenizer.json": data})


@case(SchemaError, r"the tokeniser has 256 tokens, the model \d\d")
def another_vocabulary(folder, good, _):
    tiny.forge(folder, good | tiny.files(tiny.tokenizer("byte")))


# ---- the tensors -------------------------------------------------------------------------------------------------


def packed(header, values=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@case(TensorFileError, "header size alone takes 8", empty=b"", seven=b"1234567")
@case(
    TensorFileError,
    "promises a header of",
    beyond=b"\xff" * 8,
    huge=(2**63).to_bytes(8, "little") + b"{}",
    long=b"\0\0\x20" + b"\0" * 40,
)
@case(
    JsonError,
    "the header of",
    no_json=packed(b"{"),
    nested=packed(b"[" * 100_000),
    twice=packed(b'{"a":1,"a":1}'),
    nan=packed(b"[NaN]"),
)
@case(TensorFileError, "an object is wanted", list=packed([]))
@case(TensorFileError, "must map strings to strings", metadata=packed({"__metadata__": {"a": 1}}))
@case(
    TensorFileError,
    "exactly the keys dtype, shape",
    text=packed({"a": "F32"}),
    more=packed({"a": entry([0], 0, 0) | {"x": 1}}),
)
@case(TensorFileError, "has dtype 'PICKLE'", pickle=packed({"a": entry([0], 0, 0, "PICKLE")}))
@case(TensorFileError, "has dtype '7'", number=packed({"a": entry([0], 0, 0, 7)}))
@case(
    TensorFileError,
    "sizes of 0 or more fit",
    negative=packed({"a": entry([-1], 0, 0)}),
    fraction=packed({"a": entry([1.0], 0, 4)}, b"1234"),
    truth=packed({"a": entry([True], 0, 4)}, b"1234"),
    rank=packed({"a": entry([1] * 9, 0, 4)}, b"1234"),
    no_list=packed({"a": entry("4", 0, 4)}, b"1234"),
)
@case(
    TensorFileError,
    "outside the file's",
    beyond_the_end=packed({"a": entry([2], 0, 8)}, b"1234"),
    reversed=packed({"a": entry([1], 4, 0)}, b"1234"),
    before_the_start=packed({"a": entry([1], -4, 0)}, b"1234"),
    one=packed({"a": entry([1], 0, 4) | {"data_offsets": [0]}}, b"1234"),
    huge_offset=packed({"a": entry([1], 0, 2**63)}, b"1234"),
)
@case(
    TensorFileError,
    r"bytes, its place has",
    shape_2_63=packed({"a": entry([2**63], 0, 4)}, b"1234"),
    shape_that_overflows_to_0=packed({"a": entry([2**32, 2**32], 0, 0)}),
    wrong_size=packed({"a": entry([2], 0, 4)}, b"1234"),
)
@case(TensorFileError, "larger than its file", empty_but_huge=packed({"a": entry([0, 2**62], 0, 0)}))
@case(TensorFileError, "overlaps", overlap=packed({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, b"123456"))
@case(TensorFileError, "leaves a hole", hole=packed({"a": entry([1], 0, 4), "b": entry([1], 6, 10)}, b"1234567890"))
@case(TensorFileError, "leaves a hole", hole_at_the_start=packed({"a": entry([1], 2, 6)}, b"123456"))
@case(TensorFileError, "2 bytes that belong to no tensor", hole_at_the_end=packed({"a": entry([1], 0, 4)}, b"123456"))
def a_tensor_file(folder, good, data):
    tiny.forge(folder, good | {"model.safetensors": data})


def repacked(folder, good, change):
    arrays = dict(tensors.unpack(good["model.safetensors"]))
    change(arrays)
    tiny.forge(folder, good | {"model.safetensors": b"".join(bytes(piece) for piece in tensors.pack(arrays))})


def changed(array, at, value):
    array = array.copy()
    array[at] = value
    return array


@case(
    TensorError,
    r"recurrent\.weight_ih_l0 has the shape \[15,",
    gate=lambda a: a.update({"recurrent.weight_ih_l0": a["recurrent.weight_ih_l0"][:15]}),
)
@case(TensorError, r"head\.bias \[\d+\] is missing", tensor=lambda a: a.pop("head.bias"))
def a_missing(folder, good, change):
    repacked(folder, good, change)


@case(TensorError, "'spy' is left over", left_over=lambda a: a.update(spy=np.zeros(1, np.float32)))
@case(
    TensorError,
    "has dtype float64, float32 is wanted",
    dtype=lambda a: a.update({"head.bias": a["head.bias"].astype(np.float64)}),
)
@case(
    TensorError,
    r"head\.weight has the shape \[\d+, 5\]",
    vocabulary=lambda a: a.update({"head.weight": a["head.weight"][1:]}),
)
@case(
    TensorError,
    r"tensor head\.weight holds nan at \[3, 2\]; take a bundle with finite weights",
    nan=lambda a: a.update({"head.weight": changed(a["head.weight"], (3, 2), np.nan)}),
)
@case(
    TensorError,
    r"tensor recurrent\.bias_hh_l0 holds -inf at \[19\]",
    infinity=lambda a: a.update({"recurrent.bias_hh_l0": changed(a["recurrent.bias_hh_l0"], -1, -np.inf)}),
)
def a_tensor(folder, good, change):
    repacked(folder, good, change)


# ---- classifiers -------------------------------------------------------------------------------------------------


def classifier_contents(**model):
    config, arrays, tokens = tiny.classifier(**model)
    named = {"labels.json": labels.to_bytes(tiny.LABELS), **({} if tokens is None else tiny.files(tokens))}
    packed = b"".join(bytes(piece) for piece in tensors.pack(arrays))
    return {"config.json": strict_json.dumps(config), "model.safetensors": packed} | named


@case(SchemaError, r"model\.readout", readout={"readout": ["first"]})
@case(SchemaError, r"model\.num_labels is 1", single_label={"num_labels": 1})
@case(SchemaError, "a model reads tokens or frames", both_inputs={"input_size": 3})
@case(SchemaError, r"model\.bidirectional is 1", truth={"bidirectional": 1})
@case(TensorError, r"head\.weight has the shape", more_labels={"num_labels": 4})
@case(TensorError, r"_reverse' is left over", direction={"bidirectional": False})
@case(TensorError, r"attention\.bias .* is missing", attention={"readout": ["attention"]})
def a_classifier_that_lies_about_its(folder, good, change):
    good = classifier_contents()
    config = json.loads(good["config.json"])
    config["model"] |= change
    tiny.forge(folder, good | {"config.json": strict_json.dumps(config)})


@case(SchemaError, "without tokenizer", name="tokenizer.json")
@case(MissingFileError, r"lists no labels\.json", labels="labels.json")
def a_classifier_without(folder, good, name):
    tiny.forge(folder, {key: data for key, data in classifier_contents().items() if key != name})


@case(SchemaError, "frames of numbers, not tokens")
def a_classifier_of_frames_with_a_tokeniser(folder, good, _):
    tiny.forge(folder, classifier_contents(input_size=3, embedding_size=0) | tiny.files(tiny.tokenizer()))


@case(SchemaError, "different labels, the model has 3", twice=["x", "x", "y"], few=["x"])
@case(SchemaError, "a list of texts", numbers=[1, 2, 3], text="xyz")
def labels_that_are(folder, good, named):
    data = json.dumps({"labels": named}).encode()
    tiny.forge(folder, classifier_contents() | {"labels.json": data})


def counting_contents():
    counted = ngrams.NgramList(np.array([1, 2, 31]), with_ends=False)
    return classifier_contents(ngram_order=2, num_ngrams=3) | {ngrams.NAME: ngrams.to_bytes(counted)}


def counted(grams, with_ends="true"):
    return f'{{"with_ends": {with_ends}, "grams": [{grams}]}}'.encode()


@case(MissingFileError, r"lists no ngrams\.json", nothing=None)
@case(SchemaError, "must hold with_ends", list=b"[]", without=b'{"grams": []}', number=counted("1, 2, 31", "1"))
@case(SchemaError, "must be a list of integers", fraction=counted("1, 2.5, 31"), truth=counted("1, true, 31"))
@case(SchemaError, "must be a list of integers", beyond_64_bits=counted("1, 2, 9999999999999999999"))
@case(SchemaError, "there are 2 n-grams, the model has 3", few=counted("1, 31"))
@case(SchemaError, "grams must rise", twice=counted("1, 1, 31"), below=counted("-1, 1, 31"), end=counted("1, 2, 30"))
@case(SchemaError, "grams must rise within 1", above=counted("1, 31, 100000"))
@case(JsonError, "is no JSON", no_json=b"{")
def ngrams_that_are(folder, good, data):
    whole = counting_contents()
    whole.pop(ngrams.NAME)
    tiny.forge(folder, whole | ({} if data is None else {ngrams.NAME: data}))


# ---- taggers -----------------------------------------------------------------------------------------------------


def tagger_contents(**model):
    config, arrays, words = tiny.tagger(**model)
    packed = b"".join(bytes(piece) for piece in tensors.pack(arrays))
    return {"config.json": strict_json.dumps(config), "model.safetensors": packed} | tiny.tagger_files(words)


@case(SchemaError, r"model\.scheme 'bilou' is not known", scheme={"scheme": "bilou"})
@case(SchemaError, r"model\.crf is 1; true or false", truth={"crf": 1})
@case(SchemaError, "they go together, and with tokens", spelling={"num_characters": 0})
@case(SchemaError, r"unknown key 'readout'", readout={"readout": ["last"]})
@case(TensorError, r"tensor 'crf\.\w+' is left over", chain={"crf": False})
@case(TensorError, r"tensor (crf|head)\.\w+ has the shape", more_tags={"num_labels": 5})
@case(TensorError, r"tensor embedding\.weight has the shape", more_words={"vocab_size": 99})
def a_tagger_that_lies_about_its(folder, good, change):
    good = tagger_contents()
    config = json.loads(good["config.json"])
    config["model"] |= change
    tiny.forge(folder, good | {"config.json": strict_json.dumps(config)})


@case(SchemaError, r"lists no words\.json", words="words.json")
@case(MissingFileError, r"lists no labels\.json", labels="labels.json")
def a_tagger_without(folder, good, name):
    tiny.forge(folder, {key: data for key, data in tagger_contents().items() if key != name})


@case(TensorError, r"tensor crf\.transition \[3, 3\] is missing", missing=lambda a: a.pop("crf.transition"))
@case(
    TensorError,
    r"crf\.transition has the shape \[2, 3\]",
    short=lambda a: a.update({"crf.transition": a["crf.transition"][:2]}),
)
def a_chain_that_is(folder, good, change):
    good = tagger_contents()
    repacked(folder, good, change)


@case(SchemaError, "the label 'NOUN' is no tag of BIO")
def a_tag_outside_the_scheme(folder, good, _):
    tiny.forge(folder, tagger_contents() | {"labels.json": labels.to_bytes(["NOUN", "B-x", "I-x"])})


@case(SchemaError, r"words\.json: the vocabulary's words must all be texts", numbers={"words": [1, 2]})
@case(SchemaError, r"words\.json: .*'a' of a vocabulary is there twice", twice={"words": ["a", "a"]})
@case(SchemaError, r"words\.json: .*not of format 1", of_the_future={"format": 2})
@case(SchemaError, r"words\.json: .*max_characters is 1000000000", of_endless_spelling={"max_characters": 10**9})
@case(SchemaError, "the vocabulary has 3 words", too_few={"words": ["a", "b"]})
@case(SchemaError, r"words\.json: .*is no JSON", no_json=b"{", nested=b"[" * 100_000)
@case(SchemaError, r"words\.json: ", not_utf8=b"\xff", list=b"[]")
def words_that_are(folder, good, change):
    good = tagger_contents()
    data = change if isinstance(change, bytes) else json.dumps(json.loads(good["words.json"]) | change).encode()
    tiny.forge(folder, good | {"words.json": data})


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", CASES)
def test_each_bad_bundle_is_refused_by_its_own_error(tmp_path, name):
    function, variant, error, message = CASES[name]
    folder = tmp_path / "run"
    function(folder, contents(), variant)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError) as caught:
            found = read_bundle(folder)
            # labels and words, which these alone read
            (runtime.Transducer if found.config["kind"] == "transducer" else runtime.Acceptor).from_bundle(found)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_the_corpus_is_large():
    assert len(CASES) >= 60


def test_a_device_is_refused(tmp_path):
    tiny.forge(tmp_path / "run", contents())
    path = tmp_path / "run" / "model.safetensors"
    path.unlink()
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("making a device file is not allowed here")
    with pytest.raises(UnsafePathError, match="is a device"):
        read_bundle(tmp_path / "run")


def test_the_good_bundle_of_the_corpus_loads(tmp_path):
    tiny.forge(tmp_path / "language model", contents())
    read_bundle(tmp_path / "language model")
    for name, model in (("tokens", {}), ("frames", {"input_size": 3, "embedding_size": 0})):
        tiny.forge(tmp_path / name, classifier_contents(**model))
        runtime.Acceptor.load(tmp_path / name)
    tiny.forge(tmp_path / "n-grams", counting_contents())
    runtime.Acceptor.load(tmp_path / "n-grams")
    tiny.forge(tmp_path / "tagger", tagger_contents())
    runtime.Transducer.load(tmp_path / "tagger")
