import dataclasses

import numpy as np
import pytest
import tiny

from rnnkit.bundle import schema
from rnnkit.errors import SchemaError
from rnnkit.kernels.recurrent import CELLS
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.models.window_mlp import WindowMLP, WindowMLPConfig

GENERATORS = [
    GeneratorConfig(vocab_size=11, hidden_size=6),
    GeneratorConfig(vocab_size=11, hidden_size=6, embedding_size=6, tied=True, num_layers=3, dropout=0.5),
    GeneratorConfig(vocab_size=11, hidden_size=6, embedding_size=4, tied=True, bias=False, cell="gru_after"),
    GeneratorConfig(vocab_size=11, hidden_size=(6, 3, 5), embedding_size=4, tied=True, trainable_state=True),
    GeneratorConfig(vocab_size=11, hidden_size=6, num_layers=2, residual=True, cell="gru_before", trainable_state=True),
    GeneratorConfig(vocab_size=11, hidden_size=6, zoneout=(0.1, 0.5), recurrent_dropout=0.5, recompute=True),
    GeneratorConfig(vocab_size=11, hidden_size=(6, 7), proj_size=3, embedding_size=4, tied=True, trainable_state=True),
    GeneratorConfig(vocab_size=40, hidden_size=33, proj_size=32, softmax="adaptive", cutoffs=(5, 17), bias=False),
    GeneratorConfig(vocab_size=11, hidden_size=(6, 4), embedding_size=3, layer_norm=True, trainable_state=True),
    GeneratorConfig(vocab_size=40, hidden_size=33, cell="elman_relu", softmax="adaptive", cutoffs=(5, 17), unk_id=3),
]
PEERS = [
    WindowMLPConfig(vocab_size=11, begin_id=2, order=4, embedding_size=3, hidden_size=5),
    WindowMLPConfig(vocab_size=11, begin_id=2, order=2, embedding_size=3, hidden_size=5, direct=True),
    WindowMLPConfig(vocab_size=40, begin_id=0, hidden_size=64, softmax="adaptive", cutoffs=(5, 17), dropout=0.1),
]


def test_the_cells_are_those_of_the_native_core():
    known = schema.CELLS | dict(schema.PROJECTED.values())
    assert {name: (len(info.gates), info.parts, info.parameters) for name, info in CELLS.items()} == known
    for name in schema.CELLS:
        assert schema.layer_parameters({"cell": name, "layer_norm": True}) == CELLS[name].parameters | CELLS[name].norms
        assert schema.layer_parameters({"cell": name}) == CELLS[name].parameters


@pytest.mark.parametrize("model", [*map(Generator, GENERATORS), *map(WindowMLP, PEERS)])
def test_the_schema_demands_what_the_learn_half_exports(model):
    config, tensors = model.export()
    assert {name: array.shape for name, array in tensors.items()} == schema.check_config(config)
    assert all(array.dtype == np.float32 for array in tensors.values())
    schema.check_tensors(config, tensors)


@pytest.mark.parametrize("cell", schema.GATES)
def test_every_cell_of_the_run_half_has_its_tensors(cell):
    for bias, layer_norm in ((True, False), (False, False), (True, True), (False, True)):
        given = GeneratorConfig(vocab_size=5, hidden_size=3, cell=cell, bias=bias, layer_norm=layer_norm)
        config, tensors = Generator(given).export()
        schema.check_tensors(config, tensors)


def test_every_field_that_a_configuration_can_have_is_known():
    for kind, fields in (("language_model", GeneratorConfig), ("window_mlp", WindowMLPConfig)):
        for field in dataclasses.fields(fields):
            config = tiny.config(kind)
            (config if field.name == "precision" else config["model"]).setdefault(field.name, field.default)
            schema.check_config(config)


@pytest.mark.parametrize("proj_size", [0, -1, 3, 4, True, "2", 1.0, [2]])
def test_a_projection_that_no_layer_can_have_is_refused(proj_size):
    config = tiny.config("language_model")
    config["model"] |= {"cell": "lstm", "hidden_size": 3, "proj_size": proj_size}
    with pytest.raises(SchemaError, match=r"model\.proj_size"):
        schema.check_config(config)
    config["model"] |= {"cell": "gru_after", "proj_size": 2}
    with pytest.raises(SchemaError, match=r"model\.proj_size goes with the cell lstm"):
        schema.check_config(config)


@pytest.mark.parametrize("zoneout", [1.0, -0.1, "0.1", True, [0.1], [0.1, 0.2, 0.3], [0.1, None], float("nan")])
def test_a_zoneout_that_no_state_can_have_is_refused(zoneout):
    config = tiny.config("language_model")
    config["model"] |= {"cell": "lstm", "zoneout": zoneout}
    with pytest.raises(SchemaError, match=r"model\.zoneout"):
        schema.check_config(config)
