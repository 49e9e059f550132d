"""Steps in parts and the native sampling loop: the bits of `forward` and of a loop over `step` and `sample`."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from kernels.cases import CELL_NAMES

from rnnkit.errors import ArgumentError, RnnkitError
from rnnkit.kernels import CELLS, Layer
from rnnkit.kernels.decode import SamplingLoop, sample
from rnnkit.kernels.heads import PackedLinear, embedding

V = 23
PRECISIONS = ("fp32", "bf16", "int8")
OPTIONS = [
    {},
    {"temperature": 0.0},
    {"temperature": 1.4, "top_k": 7},
    {"top_p": 0.8, "repetition_penalty": 1.5},
    {"min_p": 0.3, "temperature": 1.4},
]


def normal(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def make_layer(rng, cell, inputs, hidden, precision="fp32"):
    sizes = {"G*H": len(CELLS[cell].gates) * hidden, "3*H": 3 * hidden, "H": hidden, "I": inputs, "P": hidden * 2 // 3}
    scales = {"weight_ih": 1 / np.sqrt(inputs), "weight_hh": 0.7 / np.sqrt(hidden)}
    weights = {
        name: normal(rng, *(sizes[axis] for axis in axes), scale=scales.get(name, 0.3))
        for name, axes in CELLS[cell].parameters.items()
    }
    return Layer(cell, **weights, precision=precision)


class Model:
    """Layers above each other with a head, and the loop over them as anyone would write it."""

    def __init__(self, cell, *, hidden=33, num_layers=1, precision="fp32", with_table=False, with_projection=False):
        rng = np.random.default_rng(3)
        self.table = normal(rng, V, 9) if with_table else None
        widths = [9 if with_table else V] + [hidden] * num_layers
        if "weight_hr" in CELLS[cell].parameters:
            self.layers = [make_layer(rng, cell, widths[0], hidden, precision)]
            self.layers += [make_layer(rng, cell, hidden * 2 // 3, hidden, precision) for _ in range(num_layers - 1)]
        else:
            self.layers = [make_layer(rng, cell, *pair, precision) for pair in pairwise(widths)]
        features = self.layers[-1].output_size
        self.projection = PackedLinear(normal(rng, 12, features), precision=precision) if with_projection else None
        width = 12 if with_projection else features
        weight = normal(rng, V, width, scale=2 / np.sqrt(width))
        self.scores = PackedLinear(weight, normal(rng, V), precision=precision)

    def state(self, rows):
        rng = np.random.default_rng(8)
        return [tuple(normal(rng, rows, size, scale=0.5) for size in layer.part_sizes) for layer in self.layers]

    def loop(self, rows, **options):
        given = {"seed": 5, "streams": np.arange(2, 2 + rows)} | options
        parts = {"scores": self.scores, "projection": self.projection, "table": self.table}
        return SamplingLoop(self.layers, **parts, state=self.state(rows), **given)

    def by_steps(self, rows, count, *, previous=None, first_step=0, allowed=None, **options):
        state, drawn = self.state(rows), []
        seen = None if previous is None else [list(ids) for ids in previous]
        h = state[-1][0]
        for step in range(count):
            logits = self.scores(h if self.projection is None else self.projection(h))
            if allowed is not None:
                logits = np.where(allowed[step], logits, np.float32(-np.inf))
            given = {"seed": 5, "streams": np.arange(2, 2 + rows), "step": first_step + step} | options
            ids = sample(logits, **given, previous=None if seen is None else [np.array(row, np.int64) for row in seen])
            drawn.append(ids)
            for row in range(rows):
                if seen is not None:
                    seen[row].append(int(ids[row]))
            h = ids if self.table is None else embedding(ids, self.table)
            for index, layer in enumerate(self.layers):
                h, state[index] = layer.step(h, state[index])
        return np.stack(drawn)


each_cell = pytest.mark.parametrize("cell", CELL_NAMES)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)


@each_precision
@each_cell
@pytest.mark.parametrize("shape", [(1, 130, 200), (3, 70, 128), (1, 5, 17)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_steps_by_any_number_of_workers_give_the_sequence(cell, precision, shape, count, threads):
    B, inputs, hidden = shape
    rng = np.random.default_rng(1)
    layer = make_layer(rng, cell, inputs, hidden, precision)
    x, start = normal(rng, 6, B, inputs), tuple(normal(rng, B, size) for size in layer.part_sizes)
    threads(1)
    want = layer.forward(x, start)
    threads(count)
    state = start
    for t in range(6):
        y, state = layer.step(x[t], state)
        np.testing.assert_array_equal(want.output[t], y)
    for whole, part in zip(want.state, state, strict=True):
        np.testing.assert_array_equal(whole, part)


@each_precision
@each_cell
def test_steps_of_changing_rows_inputs_and_states_give_the_sequence(cell, precision):
    rng = np.random.default_rng(2)
    layer = make_layer(rng, cell, 20, 40, precision)
    for rows, ids in [(1, False), (1, True), (3, True), (3, False), (1, False), (70, False), (70, True)] * 2:
        x = rng.integers(0, 20, (2, rows)) if ids else normal(rng, 2, rows, 20)
        state = None if rows == 3 else tuple(normal(rng, rows, size) for size in layer.part_sizes)
        want = layer.forward(x, state)
        for t in range(2):
            y, state = layer.step(x[t], state)
            np.testing.assert_array_equal(want.output[t], y)
        for whole, part in zip(want.state, state, strict=True):
            np.testing.assert_array_equal(whole, part)


def test_a_step_takes_whatever_arrays_forward_takes():
    rng = np.random.default_rng(1)
    layer = make_layer(rng, "lstm", 6, 17)
    x, h, c = normal(rng, 3, 6), normal(rng, 3, 17), normal(rng, 3, 17)
    want = layer.step(x, (h, c))[1]
    for other in (
        layer.step(np.asfortranarray(x), {"c": c, "h": h[::-1][::-1]})[1],
        layer.step(np.repeat(x, 2, axis=1)[:, ::2], [np.asfortranarray(h), c])[1],
    ):
        for left, right in zip(want, other, strict=True):
            np.testing.assert_array_equal(left, right)
    output, state = layer.step(x, (h, c))
    output[:] = 7  # a result of its own
    np.testing.assert_array_equal(state[0], want[0])


@each_precision
@each_cell
@pytest.mark.parametrize("rows", [1, 3])
def test_the_loop_draws_what_steps_and_samples_draw(cell, rows, precision):
    model = Model(cell, precision=precision)
    np.testing.assert_array_equal(model.by_steps(rows, 20), model.loop(rows).draw(20))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(
    "shape", [{"num_layers": 3}, {"with_table": True}, {"with_projection": True, "num_layers": 2}], ids=str
)
def test_every_option_and_shape_of_a_model(shape, options):
    model = Model("lstm", **shape)
    previous = [[1, 1, 4], [22]] if "repetition_penalty" in options else None
    given = None if previous is None else [np.array(ids) for ids in previous]
    want = model.by_steps(2, 25, previous=previous, **options)
    np.testing.assert_array_equal(want, model.loop(2, previous=given, **options).draw(25))


@pytest.mark.parametrize("cell", ["lstm", "gru_before"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_workers_draws_the_same(cell, count, threads):
    model = Model(cell, hidden=200, num_layers=2)
    threads(1)
    want = model.loop(2).draw(40)
    threads(count)
    for _ in range(3):
        np.testing.assert_array_equal(want, model.loop(2).draw(40))


def test_any_draws_give_the_tokens_of_one(threads):
    model = Model("gru_after", num_layers=2)
    want = model.loop(2, repetition_penalty=1.3).draw(30)
    loop = model.loop(2, repetition_penalty=1.3)
    np.testing.assert_array_equal(want, np.concatenate([loop.draw(count) for count in (1, 2, 4, 20, 3)]))


@each_precision
def test_rows_that_are_kept_go_on_as_if_nothing_had_happened(precision):
    model = Model("lstm", num_layers=2, precision=precision)
    want = model.loop(5, repetition_penalty=1.3).draw(20)
    loop = model.loop(5, repetition_penalty=1.3)
    np.testing.assert_array_equal(want[:7], loop.draw(7))
    loop.keep([0, 2, 3])
    np.testing.assert_array_equal(want[7:12, [0, 2, 3]], loop.draw(5))
    loop.keep([1])
    np.testing.assert_array_equal(want[12:, [2]], loop.draw(8))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_loop_that_begins_later_draws_with_later_random_numbers(options):
    model = Model("lstm")
    want = model.by_steps(2, 12, first_step=2**40, previous=[[], []], **options)
    np.testing.assert_array_equal(want, model.loop(2, first_step=2**40, **options).draw(12))
    if options.get("temperature") != 0:
        assert (want != model.loop(2, **options).draw(12)).any()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("count", [1, 3])
def test_only_allowed_tokens_are_drawn_and_those_as_sample_draws_them(options, count, threads):
    model = Model("gru_before", num_layers=2)
    allowed = np.random.default_rng(4).random((15, 3, V)) < 0.3
    allowed[..., 7] = True
    allowed[9] = True
    want = model.by_steps(3, 15, allowed=allowed, previous=[[], [], []], **options)
    threads(count)
    loop = model.loop(3, **options)
    drawn = np.concatenate([loop.draw(1, mask) for mask in allowed])
    np.testing.assert_array_equal(want, drawn)
    assert np.take_along_axis(allowed, drawn[..., None], 2).all()
    np.testing.assert_array_equal(model.loop(3, **options).draw(1), model.loop(3, **options).draw(1, allowed[9]))


def test_masks_of_many_tokens_and_of_the_wrong_kind_are_refused():
    loop = Model("lstm").loop(2)
    fine = np.ones((2, V), np.bool_)
    with pytest.raises(ArgumentError, match="count is 2, wanted 1"):
        loop.draw(2, fine)
    for wrong, message in (
        (fine[:1], "first axis"),
        (fine[:, 1:], "last axis"),
        (fine[0], "shape"),
        (fine.astype(np.int8), "want bool"),
        (fine.astype(np.float32), "want bool"),
        ([[True] * V] * 2, "NumPy array"),
    ):
        with pytest.raises(RnnkitError, match=message):
            loop.draw(1, wrong)
    fine[1] = False
    with pytest.raises(ArgumentError, match="row 1: no token is left"):
        loop.draw(1, fine)


def test_loops_and_steps_of_several_threads_do_not_disturb_each_other(threads):
    model = Model("lstm", hidden=200)
    threads(2)
    want, found, failed = model.loop(1).draw(50), [], []

    def run() -> None:
        try:
            found.extend([model.loop(1).draw(50), model.by_steps(1, 50)])
        except RnnkitError as error:
            failed.append(error)

    workers = [threading.Thread(target=run) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not failed
    assert len(found) == 8
    for tokens in found:
        np.testing.assert_array_equal(want, tokens)


def test_tokens_before_a_row_that_cannot_go_on_are_given_and_then_the_row_is_named():
    model = Model("elman_relu")
    blown = [tuple(np.where(np.arange(3)[:, None] == 1, np.float32(3e38), part) for part in model.state(3)[0])]
    loop = SamplingLoop(model.layers, scores=model.scores, state=blown, seed=1, streams=[0, 1, 2])
    drawn = 0
    with pytest.raises(ArgumentError, match="in row 1"):
        for _ in range(50):
            drawn += len(loop.draw(4))
    assert drawn < 50
    with pytest.raises(ArgumentError, match="in row 1"):
        loop.draw(1)


def test_wrong_calls_are_refused_by_name():
    model = Model("lstm")
    state, layers, scores = model.state(2), model.layers, model.scores
    good = {"scores": scores, "state": state, "seed": 1, "streams": [0, 1]}
    wide = PackedLinear(np.zeros((V, 34), np.float32))
    for change, message in (
        ({"state": []}, "one state for each"),
        ({"state": [state[0][:1]]}, "tuple of 2 arrays"),
        ({"state": [(state[0][0], state[0][1][:1])]}, "first axis"),
        ({"state": [(state[0][0], state[0][1][:, :5])]}, "last axis"),
        ({"state": [(state[0][0], state[0][1].astype(np.float64))]}, "float64"),
        ({"scores": wide}, "input size of scores"),
        ({"projection": wide}, "projection's input size"),
        ({"table": np.zeros((V, 4), np.float32)}, "layer 0's input size"),
        ({"table": np.zeros((5, V), np.float32)}, "table's first axis"),
        ({"streams": [0, -1]}, "streams is -1 in row 1"),
        ({"streams": [0.5, 1.0]}, "streams has dtype"),
        ({"seed": -1}, "seed"),
        ({"first_step": -1}, "first_step"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"previous": [np.array([0]), np.array([V])]}, f"id {V} in row 1"),
    ):
        with pytest.raises(RnnkitError, match=message):
            SamplingLoop(layers, **(good | change))
    with pytest.raises(RnnkitError, match="layers and 1 states"):
        SamplingLoop([], **good)
    loop = SamplingLoop(layers, **good)
    for count in (0, -3):
        with pytest.raises(ArgumentError, match="count"):
            loop.draw(count)
    with pytest.raises(RnnkitError, match="2\\^62"):
        loop.draw(2**61)
    for rows in ([2], [-1], [1, 0], [0, 0]):
        with pytest.raises(ArgumentError, match="rising rows"):
            loop.keep(rows)
