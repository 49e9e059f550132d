import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

from rnnkit import runtime, text
from rnnkit.bundle import schema
from rnnkit.errors import ArgumentError, DtypeError, ShapeError, StateError
from rnnkit.kernels.decode import sample
from rnnkit.state import State

PROMPTS = ["the quick", "", "fox\n", "a dog jumps over the lazy fox and the dog", "the quick"]


SHAPES = {
    "widths": {"hidden_size": [11, 24, 7], "num_layers": 3, "trainable_state": True},
    "residual": {"hidden_size": 16, "num_layers": 3, "residual": True},
}


@pytest.fixture(scope="module", params=["byte", "char", "word", "bpe", *SHAPES])
def model(request):
    kind, shape = ("char", SHAPES[request.param]) if request.param in SHAPES else (request.param, {"hidden_size": 24})
    return runtime.LanguageModel.from_parts(*tiny.parts(kind, embedding_size=8, **shape))


@pytest.fixture(scope="module")
def char_model():
    return runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=24, num_layers=2))


def text_of(model, prompt, **options):
    return "".join(model.generate(prompt, **options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.0},
        {"temperature": 1.5, "top_k": 5},
        {"top_p": 0.8, "repetition_penalty": 1.3},
        {"stop": ["e", "o w"]},
        {"min_p": 0.1, "prefix": " fox", "stop": ["xx"]},
        {"no_repeat_ngram_size": 2, "repetition_penalty": 1.1, "stop": ["e"]},
    ],
    ids=str,
)
def test_prompts_side_by_side_give_the_text_of_each_alone(model, options):
    side_by_side = model.generate(PROMPTS, max_new_tokens=30, seed=7, stream=3, **options)
    one_by_one = [
        text_of(model, prompt, max_new_tokens=30, seed=7, stream=3 + number, **options)
        for number, prompt in enumerate(PROMPTS)
    ]
    assert side_by_side == one_by_one


def test_groups_of_prompts_change_nothing(model, monkeypatch):
    want = model.generate(PROMPTS, max_new_tokens=20)
    monkeypatch.setattr("rnnkit.runtime.generation.MAX_BATCH", 2)
    monkeypatch.setattr("rnnkit.runtime.generation._MAX_PROMPT_ROWS", 5)
    assert model.generate(PROMPTS, max_new_tokens=20) == want


def test_the_text_is_drawn_token_by_token_from_the_models_distribution(model):
    prompt, options = "the lazy ", {"temperature": 0.7, "top_k": 9, "repetition_penalty": 1.2}
    ids, drawn = model.tokenizer.encode(prompt), []
    for step in range(25):
        previous = [np.array([*ids, *drawn], np.int64)]
        inputs = np.array([model.begin_id, *ids, *drawn])[:, None]
        features, _ = model._forward(inputs, model._initial_parts(1), lengths=None)
        logits = model._softmax.logits(features[-1])
        token = int(sample(logits, seed=5, streams=np.array([2]), step=step, previous=previous, **options)[0])
        drawn.append(token)
    want = model.tokenizer.decode(np.array([*ids, *drawn]))[len(model.tokenizer.decode(ids)) :]
    assert text_of(model, prompt, max_new_tokens=25, seed=5, stream=2, **options) == want


def test_every_option_changes_the_text(char_model):
    base = {"max_new_tokens": 60, "temperature": 1.2}
    texts = {"none": text_of(char_model, "the ", **base)}
    for name, value in {
        "seed": 1,
        "stream": 1,
        "temperature": 0.3,
        "top_k": 3,
        "top_p": 0.5,
        "min_p": 0.2,
        "repetition_penalty": 1.7,
        "no_repeat_ngram_size": 2,
        "prefix": "fo",
        "max_new_tokens": 10,
        "stop": "e",
    }.items():
        texts[name] = text_of(char_model, "the ", **(base | {name: value}))
    assert len(set(texts.values())) == len(texts)
    assert texts["none"].startswith(texts["max_new_tokens"])
    assert len(texts["max_new_tokens"]) == 10


@pytest.mark.parametrize("size", range(1, 5))
def test_a_text_ends_before_a_stop_string_wherever_the_pieces_are_cut(char_model, size):
    whole = text_of(char_model, "the ", max_new_tokens=80, seed=3)
    for start in range(0, 40, 3):
        stop = whole[start : start + size]
        pieces = list(char_model.generate("the ", max_new_tokens=80, seed=3, stop=["never in it", stop]))
        assert "".join(pieces) == whole[: whole.find(stop)]


def test_a_stop_string_that_only_begins_is_part_of_the_text(char_model):
    whole = text_of(char_model, "the ", max_new_tokens=20, seed=3)
    assert text_of(char_model, "the ", max_new_tokens=20, seed=3, stop=whole[-3:] + "#") == whole


def test_pieces_are_whole_characters():
    config, tensors, tokens = tiny.parts("byte", hidden_size=8)
    tensors["head.bias"][:] = -20
    tensors["head.bias"][[0xC3, 0xA9, 0x61]] = 8  # é is two bytes
    model = runtime.LanguageModel.from_parts(config, tensors, tokens)
    pieces = list(model.generate("é", max_new_tokens=200))
    ids = np.frombuffer("".join(pieces).encode(), np.uint8)
    assert "".join(pieces).count("é") > 5
    assert all(piece for piece in pieces)
    assert len(ids) >= 100


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_run_of_tokens_comes_twice_in_prompt_and_text(model, size):
    prompt, options = "the the quick the", {"temperature": 0.4, "top_k": 9}
    ids = model.tokenizer.encode(prompt).tolist()
    start, forbidden = len(ids), 0
    for step in range(8 if size == 1 else 40):
        inputs = np.array([model.begin_id, *ids])[:, None]
        features, _ = model._forward(inputs, model._initial_parts(1), lengths=None)
        logits = model._softmax.logits(features[-1])
        runs = {tuple(ids[at : at + size]) for at in range(len(ids) - size + 1)}
        for token in range(model.vocab_size):
            if (*ids[len(ids) - size + 1 :], token) in runs:
                forbidden += 1
                logits[0, token] = -np.inf
        ids.append(int(sample(logits, seed=5, streams=np.array([2]), step=step, **options)[0]))
    assert forbidden
    want = model.tokenizer.decode(np.array(ids))[len(model.tokenizer.decode(ids[:start])) :]
    given = options | {"max_new_tokens": len(ids) - start, "no_repeat_ngram_size": size, "seed": 5, "stream": 2}
    assert text_of(model, prompt, **given) == want
    assert "".join(model.generate([prompt], **given)) == want


def test_forbidden_runs_leave_the_draw_as_it_is_elsewhere(char_model):
    """By Python or in the core: where nothing is forbidden the tokens are the same."""
    options = {"max_new_tokens": 60, "temperature": 0.9, "top_k": 12, "min_p": 0.02, "seed": 4}
    assert text_of(char_model, "the ", **options) == text_of(char_model, "the ", no_repeat_ngram_size=60, **options)


def test_nothing_left_names_prompt_and_place():
    tokens = text.from_json(
        '{"format": 1, "kind": "char", "characters": "\\nab", "with_unknown": true, "special_tokens": []}'
    )
    config = tiny.config(vocab_size=4)
    model = runtime.LanguageModel.from_parts(config, tiny.tensors(config), tokens)
    with pytest.raises(ArgumentError, match="prompt 1, new token 2: every token would repeat a run of 1"):
        model.generate(["", "ab"], max_new_tokens=4, no_repeat_ngram_size=1)


def test_a_prefix_begins_the_text_and_is_read_like_the_prompts_end(model):
    options = {"max_new_tokens": 20, "seed": 9}
    want = text_of(model, "the quick fox", **options)
    assert text_of(model, "the quick", prefix=" fox", **options) == " fox" + want
    pieces = list(model.generate("the quick", prefix=" fox", **options))
    assert pieces[0] == " fox"
    assert text_of(model, "the", prefix=" fox", max_new_tokens=0) == " fox"
    assert model.generate(["a", "b"], prefix=" fox", max_new_tokens=0, stop="zz") == [" fox", " fox"]


def test_a_stop_string_that_begins_in_the_prefix_ends_the_text_there(char_model):
    follows = text_of(char_model, "the fo", max_new_tokens=20, seed=3)
    assert text_of(char_model, "the ", prefix="fo", stop="o" + follows[:3], max_new_tokens=20, seed=3) == "f"


def test_the_first_word_is_separated_from_the_prompt():
    model = runtime.LanguageModel.from_parts(*tiny.parts("word"))
    words = text_of(model, "the quick", max_new_tokens=6, temperature=1.0, seed=4)
    assert words[0] in " \n"
    assert not text_of(model, "", max_new_tokens=6, seed=4).startswith(" ")


def test_wrong_options_are_refused_at_the_call_and_not_at_the_first_piece(char_model):
    for options, message in (
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": 1.5}, "min_p"),
        ({"min_p": -0.1}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"no_repeat_ngram_size": 2.0}, "no_repeat_ngram_size"),
        ({"prefix": "one", "stop": "n"}, "prefix holds the stop string 'n'"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop"),
        ({"stream": -1}, "stream"),
    ):
        with pytest.raises(ArgumentError, match=message):
            char_model.generate("the", **options)
        with pytest.raises(ArgumentError, match=message):
            char_model.generate(["the", "fox"], **options)
    with pytest.raises(DtypeError, match="prefix must be a str"):
        char_model.generate("the", prefix=None)
    with pytest.raises(DtypeError, match="a prompt must be a str"):
        char_model.generate([b"the"])
    with pytest.raises(TypeError):
        char_model.generate("the", max_tokens=3)


def test_nothing_asked_for_gives_nothing(char_model):
    assert list(char_model.generate("the", max_new_tokens=0)) == []
    assert char_model.generate([], max_new_tokens=5) == []
    assert char_model.generate(["a", "the"], max_new_tokens=0) == ["", ""]


def test_the_same_seed_gives_the_same_text_in_every_process_and_for_any_number_of_threads(tmp_path, char_model):
    char_model.save(tmp_path)
    options = {"max_new_tokens": 100, "temperature": 1.1, "seed": 11}
    program = (
        "import sys; from rnnkit import runtime\n"
        "model = runtime.LanguageModel.load(sys.argv[1])\n"
        f"sys.stdout.write(''.join(model.generate('the ', **{options})))"
    )
    want = text_of(char_model, "the ", **options)
    for threads in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env=os.environ | {"RNNKIT_NUM_THREADS": threads, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode() == want


CELLS = {
    **{cell: {"cell": cell, "hidden_size": 24} for cell in schema.CELLS},
    "projected": {"hidden_size": 24, "proj_size": 9},
    "normed": {"hidden_size": 24, "layer_norm": True},
    "zoneout": {"hidden_size": 24, "zoneout": 0.2},
    "tied": {"hidden_size": 24, "embedding_size": 8, "tied": True},
    "adaptive": {"hidden_size": 24, "softmax": "adaptive", "cutoffs": [7, 15]},
    **SHAPES,
}


@pytest.mark.parametrize("shape", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("options", [{}, {"temperature": 0.0}, {"top_k": 4, "stop": ["the lazy dog"]}], ids=str)
def test_a_saved_state_goes_on_as_if_nothing_had_happened(shape, options):
    model = runtime.LanguageModel.from_parts(*tiny.parts(**shape))
    options = {"seed": 3, "stream": 2, **options}
    whole = text_of(model, "the quick", max_new_tokens=40, **options)
    assert text_of(model, "ick", state=model.read("the qu"), max_new_tokens=40, **options) == whole
    drawn = "the quick" + whole[:15]
    state = model.read(drawn[5:-1], model.read(drawn[:5]))
    state = State.from_bytes(state.to_bytes(), like=model.initial_state())
    rest = {"max_new_tokens": 25, "first_step": 15, **options}
    assert text_of(model, drawn[-1], state=state, **rest) == whole[15:]
    if not shape.get("residual"):
        assert text_of(model, "", state=model.read(drawn), **rest) == whole[15:]


def test_prompts_side_by_side_go_on_each_from_its_own_state(model, monkeypatch):
    monkeypatch.setattr("rnnkit.runtime.generation.MAX_BATCH", 2)
    before = ["the ", "fox ", "over the dog "]
    prompts = ["quick", "jumps over", "the"]
    state = State.stack([model.read(text) for text in before])
    options = {"max_new_tokens": 20, "seed": 4, "stop": ["q"]}
    want = [text_of(model, p, stream=5 + i, state=state[i], **options) for i, p in enumerate(prompts)]
    assert model.generate(prompts, stream=5, state=state, **options) == want
    assert want != model.generate(prompts, stream=5, **options)


def test_rows_that_read_nothing_stand_beside_rows_that_do(char_model):
    state = State.stack([char_model.read("the "), char_model.read("the quick")])
    got = char_model.generate(["quick", ""], state=state, temperature=0.0, max_new_tokens=20)
    assert got == [text_of(char_model, "the quick", temperature=0.0, max_new_tokens=20)] * 2


def test_states_that_do_not_fit_are_refused_at_the_call(char_model):
    other = runtime.LanguageModel.from_parts(*tiny.parts(hidden_size=24, num_layers=2, seed=1))
    with pytest.raises(StateError, match="belongs to model"):
        char_model.generate("a", state=other.read("a"))
    with pytest.raises(ShapeError, match=r"batch=2"):
        char_model.generate(["a", "b"], state=char_model.read("a"))
    with pytest.raises(ArgumentError, match="first_step"):
        char_model.generate("a", first_step=-1)
    residual = runtime.LanguageModel.from_parts(*tiny.parts(**SHAPES["residual"]))
    with pytest.raises(ArgumentError, match=r"prompt 0 is empty.*one token less"):
        residual.generate("", state=residual.read("the"))
