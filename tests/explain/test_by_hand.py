"""Every number of a worked example is that of the layers that train, of the run half, and of BPTT written out."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from rnnkit.errors import ArgumentError, ConfigError
from rnnkit.explain import Worked, worked
from rnnkit.explain.by_hand import equations_of
from rnnkit.nn import spec
from rnnkit.runtime import LanguageModel

CELLS = [*spec.CELLS]


@pytest.fixture(scope="module", params=CELLS)
def example(request: pytest.FixtureRequest) -> Worked:
    return worked("hello", cell=request.param)


def near(got: object, wanted: object, what: str) -> None:
    np.testing.assert_allclose(np.asarray(got, np.float64), wanted, rtol=2e-5, atol=2e-6, err_msg=what)


def encoded(example: Worked) -> torch.Tensor:
    return torch.tensor([[example.letters.index(letter)] for letter in example.text])


def test_the_letters_and_steps_of_hello(example: Worked) -> None:
    assert example.letters == "helo"
    titles = [block.title for block in example.forward]
    assert titles == [f"Forward, step {t + 1}: reads {'hell'[t]!r}, is to say {'ello'[t]!r}" for t in range(4)]
    assert [block.title for block in example.backward] == [f"Backward, step {t}" for t in (4, 3, 2, 1)]
    np.testing.assert_array_equal([block["x"] for block in example.forward], np.eye(4)[[0, 1, 2, 2]])


def test_the_forward_pass_is_that_of_the_native_layers(example: Worked) -> None:
    model, ids = example.model, encoded(example)
    with torch.no_grad():
        (values,) = model.traced(ids[:-1])
        hidden, _ = model(ids[:-1])
        losses = model.loss(hidden, ids[1:])[:, 0]
        log_probs = model.log_prob(hidden)[:, 0]
    for t, block in enumerate(example.forward):
        for name, value in values.items():
            near(block[name], value[t, 0], f"{name} of step {t + 1}")
        near(block["p"], log_probs[t].exp(), f"p of step {t + 1}")
        near(block["L"], losses[t], f"L of step {t + 1}")
        head = model.head
        near(block["s"], head.weight.detach().numpy() @ block["h"] + head.bias.detach().numpy(), "s")
    near(example.loss["L"], losses.sum(), "the loss")


def test_the_products_are_those_of_weights_and_letters(example: Worked) -> None:
    weights, before = example.weights, np.zeros(3)
    for block in example.forward:
        near(block["W x + b"], weights["weight_ih"] @ block["x"] + weights["bias_ih"], "W x + b")
        shown = {row.name for row in block.rows}
        assert ("U h + b_h" in shown) == (example.cell not in ("gru_before", "min_gru", "min_lstm"))
        if "U h + b_h" in shown:
            near(block["U h + b_h"], weights["weight_hh"] @ before + weights["bias_hh"], "U h + b_h")
        before = block["h"]


def test_the_gradient_is_that_of_the_native_layers(example: Worked) -> None:
    model, ids = example.model, encoded(example)
    model.zero_grad()
    hidden, _ = model(ids[:-1])
    model.loss(hidden, ids[1:]).sum().backward()
    for name, parameter in model.named_parameters():
        short = name.removeprefix("recurrent.").removesuffix("_l0")
        near(example.gradient[f"∂L/∂{short}"], parameter.grad, f"gradient of {name}")
        near(example.update[short], (parameter - example.lr * parameter.grad).detach(), f"{name} after the update")


def test_what_the_steps_add_makes_the_gradient(example: Worked) -> None:
    for row in example.gradient.rows:
        parts = [block[f"adds to {row.name}"] for block in example.backward
                 if any(one.name == f"adds to {row.name}" for one in block.rows)]  # fmt: skip
        if row.name == "∂L/∂bias_ih":
            parts = [block["δ"] for block in example.backward]
        if row.name == "∂L/∂head.bias":
            parts = [block["∂L/∂s"] for block in example.backward]
        if row.name != "∂L/∂bias_hh":
            assert len(parts) == 4, row.name
            np.testing.assert_allclose(sum(parts), row.value, rtol=1e-10, atol=1e-12)


def test_every_row_of_the_backward_pass_fits_the_others(example: Worked) -> None:
    """p − one-hot; Vᵀ of it; h's two sources; and of each step's input weight δ xᵀ."""
    weights, forward = example.weights, example.forward
    later = np.zeros(3)
    for block, before in zip(example.backward, reversed(forward), strict=True):
        t = forward.index(before)
        wanted = before["p"] - np.eye(4)[example.letters.index(example.text[t + 1])]
        near(block["∂L/∂s"], wanted, "∂L/∂s")
        near(block["∂L/∂h, by this step's loss"], weights["head.weight"].T @ wanted, "this step's loss")
        near(block["∂L/∂h"], block["∂L/∂h, by this step's loss"] + block["∂L/∂h, by later steps"], "∂L/∂h")
        near(block["adds to ∂L/∂weight_ih"], np.outer(block["δ"], before["x"]), "weight_ih")
        near(block["adds to ∂L/∂head.weight"], np.outer(wanted, before["h"]), "head.weight")
        if t == 3:
            near(block["∂L/∂h, by later steps"], later, "nothing is later than the last step")


def test_the_backward_pass_of_elman_is_bptt_written_out() -> None:
    example = worked("hello")
    weights, later, before = example.weights, np.zeros(3), [np.zeros(3), *(block["h"] for block in example.forward)]
    for block, t in zip(example.backward, (3, 2, 1, 0), strict=True):
        near(block["∂L/∂h, by later steps"], later, "by later steps")
        delta = (block["∂L/∂h, by this step's loss"] + later) * (1 - before[t + 1] ** 2)
        near(block["δ"], delta, "δ")
        near(block["adds to ∂L/∂weight_hh"], np.outer(delta, before[t]), "weight_hh")
        later = weights["weight_hh"].T @ delta


def test_the_backward_pass_of_lstm_is_bptt_written_out() -> None:
    example = worked("hello", cell="lstm")
    weights, forward = example.weights, example.forward
    later_h, later_c = np.zeros(3), np.zeros(3)
    for block, t in zip(example.backward, (3, 2, 1, 0), strict=True):
        i, f, g, o, h, c = (forward[t][name] for name in "ifgohc")
        near(h, o * np.tanh(c), "h")
        old_c, old_h = (forward[t - 1]["c"], forward[t - 1]["h"]) if t else (np.zeros(3), np.zeros(3))
        near(c, f * old_c + i * g, "c")
        near(block["∂L/∂h, by later steps"], later_h, "by later steps")
        d_h = block["∂L/∂h, by this step's loss"] + later_h
        d_c = later_c + d_h * o * (1 - np.tanh(c) ** 2)
        near(block["∂L/∂c"], d_c, "∂L/∂c")
        delta = [d_c * g * i * (1 - i), d_c * old_c * f * (1 - f), d_c * i * (1 - g**2), d_h * np.tanh(c) * o * (1 - o)]
        near(block["δ"], np.concatenate(delta), "δ")
        near(block["adds to ∂L/∂weight_hh"], np.outer(np.concatenate(delta), old_h), "weight_hh")
        later_h, later_c = weights["weight_hh"].T @ np.concatenate(delta), d_c * f


def test_the_update_lowers_the_loss_to_what_it_says(example: Worked) -> None:
    ids = encoded(example)
    with torch.no_grad():
        after = example.after.loss(example.after(ids[:-1])[0], ids[1:]).sum()
    near(example.update["L"], after, "the loss afterwards")
    assert example.update["L"] < example.loss["L"]


def test_sampling_is_what_the_run_half_says_letter_by_letter(example: Worked) -> None:
    letters = SimpleNamespace(vocab_size=len(example.letters), begin_id=0, to_json=lambda: "{}")
    for block, model in zip(example.sampling, (example.after, example.learned), strict=True):
        config, tensors = model.export()
        runtime = LanguageModel.from_parts(config, tensors, cast(Any, letters), digest="0" * 64)
        said, state, letter = example.text[0], None, example.text[0]
        for t in range(1, len(example.text)):
            log_probs, state = runtime.step(example.letters.index(letter), state)
            near(block[f"p {t}"], np.exp(log_probs[0]), f"p {t}")
            letter = example.letters[int(log_probs[0].argmax())]
            assert block[f"says {t}"] == letter
            said += letter
        assert block["text"] == said


def test_every_cell_learns_to_write_hello(example: Worked) -> None:
    assert example.sampling[1]["text"] == "hello"
    assert example.num_updates > 1


def test_the_equations_are_those_of_the_cell_alone() -> None:
    assert equations_of(spec.CELLS["elman_relu"]) == "h' = max(0, W x + b + U h + b_h)"
    before = equations_of(spec.CELLS["gru_before"])
    assert "U_n (r ∘ h)" in before
    assert "after" not in before
    assert "i = σ(W_i x + b_i)" not in equations_of(spec.CELLS["min_gru"])
    for cell in spec.CELLS.values():
        lines = equations_of(cell).splitlines()
        for name in (*cell.gates, *cell.parts):
            assert any(line.startswith((f"{name} =", f"{name}' =")) for line in lines), (cell.name, name)


@pytest.mark.parametrize("text", ["", "h", "aaaa", "ab" * 21])
def test_texts_of_which_nothing_can_be_learned_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="a worked example takes 2 to 40, not all the same: hello"):
        worked(text)


def test_a_cell_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="cell='tanh' does not exist"):
        worked("hello", cell="tanh")


@pytest.mark.parametrize("text", ["ab", "to be, or not to be", "日本語語", "\n\t x"])
def test_any_short_text_will_do(text: str) -> None:
    example = worked(text, hidden_size=5, seed=4)
    assert "".join(block["says 1"] for block in example.sampling[1:]) == example.sampling[1]["text"][1]
    assert len(example.forward) == len(text) - 1
