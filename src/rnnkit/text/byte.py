"""The byte tokeniser: 256 ids, every text and every file can be encoded, nothing is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rnnkit.text.tokenizer import StreamDecoder, Tokenizer, refuse_surrogates, visible_bytes


class ByteTokenizer(Tokenizer):
    """Ids are the bytes of the UTF-8 form. `begin_id` is the newline."""

    kind = "byte"
    begin_id = 10

    def __init__(self, *, special_tokens: Sequence[str] = ()) -> None:
        super().__init__(256, special_tokens)

    def token_text(self, token: int) -> str:
        token = self._checked(token)
        if token >= 256:
            return self.special_tokens[token - 256]
        return visible_bytes(bytes([token]))

    def to_dict(self) -> dict[str, Any]:
        return {}

    def decode_bytes(self, ids: Sequence[int] | np.ndarray) -> bytes:
        """The bytes of `ids`, valid UTF-8 or not."""
        return self._regular(ids).astype(np.uint8).tobytes()

    def encode_pieces(self, pieces: Iterable[str] | Iterable[bytes]) -> Iterator[np.ndarray]:
        return map(self.encode, pieces)

    def _encode(self, text: str) -> np.ndarray:
        try:
            return self._encode_bytes(text.encode())
        except UnicodeEncodeError as error:
            raise refuse_surrogates(text, error) from None

    def _encode_bytes(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.uint8).astype(np.int32)

    def _decode(self, ids: np.ndarray) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def _push(self, tokens: list[int], decoder: StreamDecoder) -> str:
        return decoder.utf8.decode(bytes(tokens))
