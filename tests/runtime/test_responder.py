"""A model of dialogue without torch: what it reads, and a conversation that is a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit import runtime
from rnnkit.bundle import read_bundle, write_bundle
from rnnkit.errors import ArgumentError, DtypeError, SchemaError, StateError
from rnnkit.models.encoder_decoder import EncoderDecoder
from rnnkit.models.encoder_decoder_config import EncoderDecoderConfig
from rnnkit.runtime import Conversation, Responder
from rnnkit.runtime.responder import DIALOGUE
from rnnkit.text import SourceAndTarget

WORDS = "a b c d e f <turn>"


@pytest.fixture(scope="module")
def parts() -> tuple[dict[str, Any], dict[str, np.ndarray], SourceAndTarget]:
    texts = SourceAndTarget.build([WORDS], [WORDS], kind="word", joint=True)
    torch.manual_seed(3)
    size = texts.target.vocab_size
    config = EncoderDecoderConfig(vocab_size=size, source_vocab_size=size, hidden_size=12, embedding_size=8)
    model = EncoderDecoder(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that what was said changes what is answered
    return *model.export(), texts


@pytest.fixture
def model(parts: Any) -> Responder:
    config, tensors, texts = parts
    return Responder(config, tensors, texts=texts, context=3)


def test_a_reply_is_the_translation_of_the_last_turns(model: Responder) -> None:
    first, conversation = model.reply("a b", max_new_tokens=5)
    assert first == model.translate(["a b"], max_new_tokens=5)[0]
    second, after = model.reply("c  d", conversation, max_new_tokens=5)
    assert second == model.translate([f"a b <turn> {first} <turn> c d"], max_new_tokens=5)[0]
    third, last = model.reply("e", after, max_new_tokens=5)
    assert third == model.translate([f"c d <turn> {second} <turn> e"], max_new_tokens=5)[0]
    assert last.turns == (second, "e", third)
    assert (conversation.count, after.count, last.count) == (2, 4, 6)
    assert conversation.turns == ("a b", first)  # a value: what came later has not changed it
    assert model.reply("c  d", conversation, max_new_tokens=5)[0] == second


def test_what_was_said_before_changes_the_reply(model: Responder) -> None:
    scores = {
        before: model.score([(model.source_of([before, "f"]), "a b")])[0] for before in ("a b c", "d d d", "e c a")
    }
    assert len({round(float(score), 4) for score in scores.values()}) == 3


def test_a_conversation_that_was_kept_goes_on_as_if_it_had_not_been(model: Responder, tmp_path: Path) -> None:
    _, conversation = model.reply("a b", max_new_tokens=4, temperature=1.0, seed=5)
    want = model.reply("c", conversation, max_new_tokens=4, temperature=1.0, seed=5)
    model.save(tmp_path / "run")
    again = runtime.load(tmp_path / "run")
    assert isinstance(again, Responder) and again.context == 3
    kept = again.resume(conversation.to_bytes())
    assert kept == conversation
    assert again.reply("c", kept, max_new_tokens=4, temperature=1.0, seed=5) == want


def test_drawn_turns_come_from_streams_of_their_own(model: Responder) -> None:
    how: Any = {"temperature": 1.5, "seed": 1, "max_new_tokens": 12}
    fresh = model.begin()
    drawn = {model.reply("a b c", Conversation((), count, fresh.model), **how)[0] for count in range(6)}
    assert len(drawn) > 2
    assert model.reply("a b c", fresh, **how) == model.reply("a b c", **how)


def test_nobody_speaks_for_another(model: Responder) -> None:
    assert model.source_of(["a <turn> b", " c\n<TURN> d "]) == "a b <turn> c d"
    assert model.source_of(["a", "<turn>", "b"]) == "a <turn> b"


def test_damage_and_strangers_are_refused(model: Responder, parts: Any) -> None:
    _, conversation = model.reply("a", max_new_tokens=2)
    data = conversation.to_bytes()
    value = json.loads(data)
    for changed, message in (
        (data.replace(b'"a"', b'"b"'), "checksum mismatch"),
        (data[:-9], "is no JSON"),
        (b"[]", "this is no conversation"),
        (json.dumps({**value, "more": 1}).encode(), "this is no conversation"),
        (json.dumps({**value, "format": 2}).encode(), "has format 2, this rnnkit reads 1"),
    ):
        with pytest.raises(StateError, match=message):
            Conversation.from_bytes(changed, model=model.digest)
    for at in range(0, len(data) - 1, 7):  # a byte of it anywhere, whitespace of the JSON aside
        broken = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if json.loads(data) != (json.loads(broken) if _is_json(broken) else None):
            with pytest.raises(StateError):
                Conversation.from_bytes(broken, model=model.digest)
    with pytest.raises(StateError, match="belongs to another model"):
        Conversation.from_bytes(data, model="0" * 64)
    config, tensors, texts = parts
    other = Responder(config, {**tensors, "head.bias": tensors["head.bias"] + 1}, texts=texts)
    with pytest.raises(StateError, match="belongs to another model"):
        other.reply("a", conversation)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def test_turns_that_are_none_are_refused_by_name(model: Responder) -> None:
    with pytest.raises(ArgumentError, match="the turn is empty"):
        model.reply("  ")
    wrong: Any = b"a"
    with pytest.raises(DtypeError, match="must be a str, got bytes"):
        model.reply(wrong)
    with pytest.raises(DtypeError, match="single text"):
        model.source_of("a b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"context": 0}', "at least 1 turn is read"),
        (b'{"context": true}', "must hold context"),
        (b'{"context": 2, "speaker": 1}', "must hold context"),
        (b"[]", "must hold context"),
    ],
)
def test_a_bundle_that_says_nonsense_about_its_turns_is_refused(
    model: Responder, tmp_path: Path, content: bytes, message: str
) -> None:
    model.save(tmp_path / "run")
    bundle = read_bundle(tmp_path / "run")
    write_bundle(
        tmp_path / "run", config=bundle.config, tensors=bundle.tensors, files={**bundle.files, DIALOGUE: content}
    )
    load: Callable[..., Any] = runtime.load
    with pytest.raises(SchemaError, match=message):
        load(tmp_path / "run")


def test_a_translator_is_no_model_of_dialogue(parts: Any, tmp_path: Path) -> None:
    config, tensors, texts = parts
    runtime.EncoderDecoder(config, tensors, texts=texts).save(tmp_path / "run")
    assert type(runtime.load(tmp_path / "run")) is runtime.EncoderDecoder
    with pytest.raises(SchemaError, match=r"lists no dialogue\.json"):
        Responder.load(tmp_path / "run")
