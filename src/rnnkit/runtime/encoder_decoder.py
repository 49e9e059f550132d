"""A trained encoder-decoder without torch: texts in, texts out, and what each costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rnnkit.errors import ArgumentError
from rnnkit.runtime.bundled import integers
from rnnkit.runtime.decoder import Decoder
from rnnkit.state import State

RECORDS = "records.json"
"""In the bundle of one that describes records: how they become what it reads (`rnnkit.data.Wording`)."""


class EncoderDecoder(Decoder):
    """Reads one sequence of tokens and writes another; the equations are in `rnnkit.models.encoder_decoder`.

        model = EncoderDecoder.load("runs/de-en")
        model.translate(["ein hund im schnee"])               # ['a dog in the snow']
        state = model.encode(["ein hund im schnee"])          # a value: slice it, stack it, keep it, fork it
        log_probs, state = model.step([model.begin_id], state)

    The state holds the decoder's layers and, as a last entry, the encodings: what the attention looks back at, how far
    it reaches, and what the decoder reads at every step beside a token.

    A text's result is the same, bit for bit, whatever stands beside it in the call.
    """

    kind = "encoder_decoder"

    def attention(self, pairs: Iterable[tuple[str, str]]) -> list[np.ndarray]:
        """Where the decoder looked for each token of a target: float32 [T, S] for every pair, ends included.

        Raises: ArgumentError for a model without attention; DataError.
        """
        if not self._attends:
            raise ArgumentError("this model has no attention to show; train one with --attention general")
        found = []
        for number, (source, target) in enumerate(pairs):
            _, weights = self._forced(self._encoded([source]), [self._target(target, number)])
            found.append(weights[:, 0])
        return found

    # ---- step by step ------------------------------------------------------------------------------------------------

    def encode(self, texts: Sequence[str], *, places: int | None = None) -> State:
        """The state in which each source has been read and nothing written.

        Args: places: how many each source has room for, so that states stack; None: as many as the longest one needs.
        Raises: ArgumentError where a source has more; DataError naming a source that does not encode.
        """
        sources = self._encoded(texts)
        longest = max((len(source) for source in sources), default=0)
        if places is not None and places < longest:
            raise ArgumentError(f"places is {places}, the longest source has {longest} tokens; give at least as many")
        return self._state(self._read(sources, places=places))

    def step(self, ids: Any, state: State) -> tuple[np.ndarray, State]:
        """One token per row, [B] -> (log-probabilities of the next one [B, V], State). First comes `begin_id`."""
        ids = integers([ids] if isinstance(ids, int | np.integer) else ids, "ids", rank=1)
        features, parts = self._step(ids, self._checked(state, len(ids)))
        return self._softmax.log_probs(features), self._state(parts)
