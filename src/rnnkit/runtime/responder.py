"""A trained model of dialogue without torch: a turn in, a reply out, and a conversation as a value between them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rnnkit.bundle import Bundle, bundle_digest, strict_json
from rnnkit.errors import ArgumentError, DtypeError, JsonError, SchemaError, StateError
from rnnkit.runtime.encoder_decoder import EncoderDecoder
from rnnkit.text import SourceAndTarget, in_context

DIALOGUE = "dialogue.json"
"""The file of a bundle that makes an encoder-decoder a model of dialogue: how many turns it reads."""

_MAX_BYTES = 1 << 24
_FORMAT = 1


@dataclass(frozen=True)
class Conversation:
    """What was said so far, a value: keep it, fork it, go on from it twice.

        reply, conversation = model.reply("hello")
        data = conversation.to_bytes()
        reply, conversation = model.reply("how are you", model.resume(data))

    Attributes:
        turns: those that the model still reads, the oldest first.
        count: of all turns, its own included.
        model: the digest of the bundle it belongs to.
    """

    turns: tuple[str, ...]
    count: int
    model: str

    def to_bytes(self) -> bytes:
        """It as JSON for people to read, with a SHA-256 of what it says."""
        value = {"format": _FORMAT, "model": self.model, "count": self.count, "turns": list(self.turns)}
        return strict_json.dumps({**value, "sha256": _checksum(value)})

    @classmethod
    def from_bytes(cls, data: bytes, *, model: str) -> Self:
        """What `to_bytes` wrote. Args: model: the digest of the one that is to go on.

        Raises: StateError for other bytes, damaged ones, or those of another model.
        """
        try:
            value = strict_json.loads(data, what="the conversation", max_bytes=_MAX_BYTES)
        except JsonError as error:
            raise StateError(str(error)) from None
        if not isinstance(value, dict) or value.keys() != {"format", "model", "count", "turns", "sha256"}:
            raise StateError("this is no conversation; pass what Conversation.to_bytes() returned")
        if value["format"] != _FORMAT:
            raise StateError(f"the conversation has format {value['format']!r}, this rnnkit reads {_FORMAT}")
        if value.pop("sha256") != _checksum(value):
            raise StateError("the conversation is damaged (checksum mismatch); begin a new one")
        turns, count = value["turns"], value["count"]
        is_sound = isinstance(turns, list) and all(isinstance(turn, str) for turn in turns)
        if not is_sound or type(count) is not int or count < len(turns):
            raise StateError("the conversation's turns are no list of texts, or more than it counts; begin a new one")
        if value["model"] != model:
            raise StateError("the conversation belongs to another model; go on with that one, or begin a new one")
        return cls(tuple(turns), count, model)


class Responder(EncoderDecoder):
    """An encoder-decoder that has read turns of dialogues, and writes the next one.

        model = Responder.load("runs/smalltalk")
        reply, conversation = model.reply("good morning")
        reply, conversation = model.reply("who are you ?", conversation)

    Args:   context: how many turns it reads, at most; the rest as of `EncoderDecoder`.
    Raises: ArgumentError for a context below 1; as `EncoderDecoder`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        *,
        texts: SourceAndTarget,
        context: int = 3,
        digest: str | None = None,
        precision: str | None = None,
    ) -> None:
        if context < 1:
            raise ArgumentError(f"context is {context}; at least 1 turn is read")
        super().__init__(config, tensors, texts=texts, digest=digest, precision=precision)
        self.context = context
        self._files[DIALOGUE] = dialogue_file(context)
        self.digest = digest or bundle_digest(config=self.config, tensors=self._tensors, files=self._files)

    @classmethod
    def _of(cls, bundle: Bundle, precision: str | None) -> Self:
        model = super()._of(bundle, precision)
        model.context = _context_of(bundle.files)
        return model

    def begin(self) -> Conversation:
        """One in which nothing was said."""
        return Conversation((), 0, self.digest)

    def resume(self, data: bytes) -> Conversation:
        """One that was kept, `conversation.to_bytes()`. Raises: StateError, as `Conversation.from_bytes`."""
        return Conversation.from_bytes(data, model=self.digest)

    def reply(self, turn: str, conversation: Conversation | None = None, **options: Any) -> tuple[str, Conversation]:
        """What it answers to a turn, and the conversation with both.

        Args:    conversation: what was said before; None: nothing.
                 options: of `sample` where a temperature above 0 is among them, each turn drawn from a stream of its
                     own; else of `translate`, whose text is the same each time.
        Raises:  ArgumentError for an empty turn; StateError for another model's conversation; as `translate`.
        """
        conversation = self.begin() if conversation is None else conversation
        if conversation.model != self.digest:
            raise StateError("the conversation belongs to another model; begin a new one with model.begin()")
        if not isinstance(turn, str):
            raise DtypeError(f"the turn must be a str, got {type(turn).__name__}; decode it first")
        if not turn.strip():
            raise ArgumentError("the turn is empty; say something")
        turns = (*conversation.turns, turn)
        if options.get("temperature"):
            (reply,) = self.sample([self.source_of(turns)], stream=conversation.count, **options)
        else:
            (reply,) = self.translate([self.source_of(turns)], **options)
        kept = (*turns, reply)[-self.context :]
        return reply, Conversation(kept, conversation.count + 2, self.digest)

    def source_of(self, turns: Sequence[str]) -> str:
        """The last turns of a dialogue, the oldest first, as the text that `translate` and `score` read."""
        if isinstance(turns, str):
            raise DtypeError("turns is a single text; put it in a list: [text]")
        return in_context(turns, context=self.context)


def dialogue_file(context: int) -> bytes:
    """The content of `DIALOGUE`."""
    return strict_json.dumps({"context": context})


def _context_of(files: Mapping[str, bytes]) -> int:
    """Raises: SchemaError, JsonError."""
    if DIALOGUE not in files:
        raise SchemaError(f"the bundle lists no {DIALOGUE}, so it is no model of dialogue; rnnkit.load finds its class")
    value = strict_json.loads(files[DIALOGUE], what=DIALOGUE, max_bytes=1 << 10)
    if not isinstance(value, dict) or value.keys() != {"context"} or type(value["context"]) is not int:
        raise SchemaError(f"{DIALOGUE} must hold context, a number of turns; write the bundle again")
    if not 1 <= value["context"] < 1 << 31:
        raise SchemaError(f"{DIALOGUE}: context is {value['context']}, at least 1 turn is read; write the bundle again")
    return value["context"]


def _checksum(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        strict_json.dumps({key: value[key] for key in ("format", "model", "count", "turns")})
    ).hexdigest()
