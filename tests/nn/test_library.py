"""torch.compile and torch.export take models with native layers, to the bits of eager calls."""

import gc

import pytest
import torch
from parity import ALL_CELLS, recurrent
from torch.utils import _pytree

from rnnkit import nn
from rnnkit.models.generator import Generator, GeneratorConfig
from rnnkit.nn import library, operators

T, B, I, H = 7, 3, 4, 6
LENGTHS = torch.tensor([7, 0, 4])


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    torch.manual_seed(0)
    yield
    gc.collect()
    assert not library._tapes, "a tape outlived the tensors of its call"


def compiled(module, backend="aot_eager"):
    return torch.compile(module, fullgraph=True, backend=backend)


def gradients(run, module, *inputs, **given):
    """Every result, and the gradient of their weighted sum for every parameter and floating point input, by name."""
    module.zero_grad()
    leaves = [t for t in _pytree.tree_leaves((inputs, given)) if isinstance(t, torch.Tensor) and t.is_floating_point()]
    for leaf in leaves:
        leaf.requires_grad_().grad = None
    results = [t for t in _pytree.tree_leaves(run(*inputs, **given)) if isinstance(t, torch.Tensor)]
    generator = torch.Generator().manual_seed(1)
    sum((r * torch.randn(r.shape, generator=generator)).sum() for r in results).backward()
    named = {name: p.grad for name, p in module.named_parameters()}
    named |= {f"input {n}": leaf.grad for n, leaf in enumerate(leaves)} | {
        f"result {n}": r for n, r in enumerate(results)
    }
    return {name: value.detach().clone() for name, value in named.items() if value is not None}


def agree(module, *inputs, backend="aot_eager", **given):
    want = gradients(module, module, *inputs, **given)
    got = gradients(compiled(module, backend), module, *inputs, **given)
    assert want.keys() == got.keys()
    for name, value in want.items():
        torch.testing.assert_close(
            got[name], value, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
        if name.startswith("result") and backend == "aot_eager":
            assert torch.equal(got[name], value), name


def native_cells():
    return [cell for cell in ALL_CELLS if nn.explain_backend(recurrent(cell, I, H))[0] == "native"]


@pytest.mark.parametrize("cell", native_cells())
def test_a_compiled_layer_gives_the_bits_and_gradients_of_an_eager_one(cell):
    layer = recurrent(cell, I, H, 2, bidirectional=True)
    state = layer.initial_state(B).map(torch.randn_like)
    agree(layer, torch.randn(T, B, I), state, lengths=LENGTHS)


@pytest.mark.slow  # half a minute of the C++ compiler
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # inductor's own
def test_inductor_too(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.LSTM(I, H), nn.LSTM(H, H)
            self.head = torch.nn.Linear(H, 5)

        def forward(self, x, hx, lengths):
            y, _ = self.first(torch.relu(x) * 2, hx, lengths=lengths)
            y, (h, c) = self.second(torch.tanh(y).relu() + 1, lengths=lengths)  # x's buffer may be used again
            return self.head(y).log_softmax(-1), h, c

    hx = (torch.randn(1, B, H), torch.randn(1, B, H))
    agree(Model(), torch.randn(T, B, I), hx, LENGTHS, backend="inductor")


@pytest.mark.parametrize(
    "options",
    [
        {"residual": True, "trainable_state": True},
        {"bias": False, "precision": "bf16"},
        {"precision": "auto"},
        {"trainable_state": True, "bidirectional": True},
        {"recompute": True},
        {"layer_norm": True, "trainable_state": True},
    ],
    ids=str,
)
def test_options_compile(options):
    agree(nn.Recurrent("lstm", I, H, 2, **options), torch.randn(T, B, I), lengths=LENGTHS)


@pytest.mark.parametrize(
    "options",
    [{"recurrent_dropout": 0.3}, {"weight_dropout": 0.3, "dropout": 0.3}, {"locked_dropout": True, "dropout": 0.3}],
    ids=str,
)
def test_masks_compile(options):
    layer, x = nn.Recurrent("lstm", I, H, 2, **options), torch.randn(T, B, I)
    seeded = {}
    for name, run in (("eager", layer), ("compiled", compiled(layer))):
        torch.manual_seed(3)
        seeded[name] = gradients(run, layer, x, lengths=LENGTHS)
    for name, value in seeded["eager"].items():
        torch.testing.assert_close(seeded["compiled"][name], value, rtol=1e-5, atol=1e-6)
    layer.eval()
    agree(layer, x, lengths=LENGTHS)


@pytest.mark.parametrize("zoneout", [0.3, (0.0, 0.3), (0.3, 0.999)], ids=str)
def test_zoneout_compiles(zoneout):
    layer, x = nn.Recurrent("lstm", I, H, 2, zoneout=zoneout), torch.randn(T, B, I)
    run = compiled(layer)
    got = gradients(run, layer, x, lengths=LENGTHS)
    assert got.keys() == gradients(layer, layer, x, lengths=LENGTHS).keys()
    assert all(value.isfinite().all() for value in got.values())
    assert not torch.equal(run(x)[0], run(x)[0])  # new masks at every call
    if zoneout == (0.3, 0.999):
        assert (
            run(x)[1].layers[0]["c"].abs().mean() < 0.2 * nn.Recurrent("lstm", I, H)(x)[1].layers[0]["c"].abs().mean()
        )
    layer.eval()
    agree(layer, x, lengths=LENGTHS)


def test_a_trace_is_refused_by_name():
    with pytest.raises(Exception, match="trace=True does not go through"):
        compiled(nn.Recurrent("lstm", I, H))(torch.randn(T, B, I), trace=True)


@pytest.mark.parametrize("options", [{}, {"embedding_size": 5, "tied": True, "num_layers": 2}], ids=["one-hot", "tied"])
def test_a_generator_and_its_loss_compile(options):
    class Scored(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Generator(GeneratorConfig(vocab_size=11, hidden_size=8, **options))

        def forward(self, ids, targets, weights, state):
            hidden, state = self.model(ids, state)
            return self.model.loss(hidden, targets, weights), state

    scored, (ids, targets) = Scored(), torch.randint(11, (2, T, B))
    weights = torch.tensor([0.0, 1.0, 0.5]).expand(T, B)
    state = scored.model.initial_state(B).map(torch.randn_like)
    want = gradients(scored, scored, ids, targets, weights.contiguous(), state)
    got = gradients(compiled(scored), scored, ids, targets, weights.contiguous(), state)
    assert want.keys() == got.keys()
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-6)


def test_other_sizes_and_lengths_need_no_new_model():
    layer = nn.GRU(I, H)
    run = compiled(layer)
    for steps, batch in ((7, 3), (5, 2), (9, 4), (1, 6)):
        x, lengths = torch.randn(steps, batch, I), torch.randint(0, steps + 1, (batch,))
        assert torch.equal(run(x, lengths=lengths)[0], layer(x, lengths=lengths)[0])
    with torch.no_grad():
        assert torch.equal(run(x)[0], layer(x)[0])
    with pytest.raises(Exception, match="lengths"):
        run(x, lengths=torch.tensor([0, 1, 2, 0, 0, 1]))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_one_step_compiles(kind):
    agree(kind(I, H), torch.randn(B, I))


def test_weights_are_packed_once_and_again_when_they_change(monkeypatch):
    packed, original = [], operators.pack
    monkeypatch.setattr(operators, "pack", lambda *given: packed.append(1) or original(*given))
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    run = compiled(layer)
    for _ in range(3):
        run(x)[0].sum().backward()
    assert len(packed) == 1
    with torch.no_grad():
        layer.weight_hh_l0.mul_(0.5)
    assert torch.equal(run(x)[0], layer(x)[0])
    assert len(library._packed) >= 1
    del run, layer
    torch._dynamo.reset()
    gc.collect()
    assert len(library._packed) == 0


def test_forward_without_backward_leaves_nothing_behind():
    layer, x = nn.LSTM(I, H), torch.randn(T, B, I)
    run = compiled(layer)
    y = run(x)[0]
    assert len(library._tapes) == 1
    del y
    gc.collect()
    assert not library._tapes


def operands():
    layer = nn.LSTM(I, H)
    weights = [*layer.parameters()]
    state = [torch.randn(B, H, requires_grad=True) for _ in range(2)]
    names = "weight_ih,weight_hh,bias_ih,bias_hh"
    masks, mask = [torch.rand(T, B, H) < 0.3], torch.rand(B, H)
    how = ("lstm", names, "fp32", True, False, [-1.0, 0.25])
    return torch.randn(T, B, I, requires_grad=True), state, weights, LENGTHS, masks, mask, *how, True


def test_a_second_backward_runs_forward_again():
    given = operands()
    loss = library._unroll(*given)[0].square().sum()
    wanted = [given[0], *given[1], *given[2]]
    first = torch.autograd.grad(loss, wanted, retain_graph=True)
    assert not library._tapes
    assert all(map(torch.equal, first, torch.autograd.grad(loss, wanted)))


def test_the_tape_does_not_read_what_the_compiler_has_used_again():
    given = operands()
    with torch.no_grad():
        _, *_, number = library._unroll(*given)
        layer, tape, _ = library._tapes[int(number)]
        want = layer.backward(tape, d_output=torch.ones(T, B, H).numpy()).weight_hh
        _, *_, number = library._unroll(*given)
        for tensor in (given[0], *given[1], given[5], *given[4]):
            tensor.fill_(float("nan") if tensor.is_floating_point() else True)
        layer, tape, _ = library._tapes[int(number)]
        got = layer.backward(tape, d_output=torch.ones(T, B, H).numpy()).weight_hh
    assert torch.equal(torch.from_numpy(want), torch.from_numpy(got))


@pytest.mark.parametrize("given", [operands, lambda: (*operands()[:-1], False)], ids=["tape", "no tape"])
def test_the_recurrent_operator_keeps_torchs_rules(given):
    torch.library.opcheck(library._unroll, given(), test_utils=("test_schema", "test_faketensor"))


def test_the_other_operators_keep_torchs_rules():
    x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((T, I), (H, I), (H,)))
    torch.library.opcheck(library.linear, (x, weight, bias, "fp32"))
    torch.library.opcheck(library.linear, (x.detach(), weight, None, "fp32"))
    targets, weights = torch.randint(H, (T,)), torch.rand(T)
    torch.library.opcheck(library.linear_cross_entropy, (x, weight, bias, targets, weights, True, "fp32", 0.1))
    torch.library.opcheck(library.linear_cross_entropy, (x, weight, None, targets, None, True, "fp32", 0.0))


@pytest.mark.parametrize("kind", ["recurrent", "lstm", "generator"])
def test_an_exported_program_gives_the_same_bits(kind):
    x, ids = torch.randn(T, B, I), torch.randint(11, (T, B))
    if kind == "recurrent":
        module = nn.Recurrent("gru_before", I, [H, 5], trainable_state=True)
        inputs, given = (x, module.initial_state(B).detach()), {"lengths": LENGTHS}
    elif kind == "lstm":
        module, inputs, given = nn.LSTM(I, H, 2, bidirectional=True), (x,), {"lengths": LENGTHS}
    else:
        module = Generator(GeneratorConfig(vocab_size=11, embedding_size=5, hidden_size=H))
        inputs, given = (ids,), {}
    program = torch.export.export(module.eval(), inputs, given)
    assert any("rnnkit.unroll" in str(node.target) for node in program.graph.nodes)
    want, got = module(*inputs, **given), program.module()(*inputs, **given)
    for a, b in zip(_pytree.tree_leaves(want), _pytree.tree_leaves(got), strict=True):
        assert torch.equal(a, b)
