"""What every next-token model of the run half can do: read tokens, pass its state on, and be judged."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from rnnkit.bundle import evaluation
from rnnkit.runtime import likelihood
from rnnkit.runtime.bundled import BundledModel, checked_lengths, integers
from rnnkit.runtime.softmax import build_softmax
from rnnkit.runtime.stack import Parts
from rnnkit.state import State
from rnnkit.text import Tokenizer


class NextTokenModel(BundledModel):
    """Tokens in, log-probabilities of the next token out; the state is a value that the caller holds.

        model = LanguageModel.load("runs/shakespeare")
        state = model.initial_state(batch=2)
        log_probs, state = model(ids, state)             # ids [T, 2] -> [T, 2, V]
        log_probs, state = model.step([3, 7], state)     # one token per row -> [2, V]

    A whole sequence, any chunks of it and single steps give the same bits; so do any batch mates and any number of
    threads. log_probs[t] is about the token after ids[t]; the context before a document is `begin_id`.
    """

    vocab_size: int
    begin_id: int

    def _prepare(self, tokenizer: Tokenizer | None) -> None:
        self.vocab_size = self.config["model"]["vocab_size"]
        self._softmax = build_softmax(self.config["model"], self._weights, self.precision)

    @classmethod
    def from_parts(
        cls,
        config: Mapping[str, Any],
        tensors: Mapping[str, np.ndarray],
        tokenizer: Tokenizer | None = None,
        *,
        digest: str | None = None,
        precision: str | None = None,
    ) -> Self:
        """The model of a configuration and its float32 arrays in memory, for example `Generator.export()`'s.

        Args:   digest: of the bundle they come from; None: the digest that `save` would give.
                precision: as in `load`.
        Raises: SchemaError, TensorError for parts that do not belong together.
        """
        return cls(config, tensors, tokenizer, digest=digest, precision=precision)

    def evaluation_sample(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The held-out tokens that the bundle keeps: ids int64 [N] and where documents start; None: it keeps none.

        They are the first of the text that `metrics.json` is about, at most 4,096: `total_nll(*sample)` in another
        precision says what that costs.  Raises: JsonError, SchemaError for a file that is not what was written.
        """
        return evaluation.from_files(self._files, vocab_size=self.vocab_size)

    def __call__(self, ids: Any, state: State | None = None, *, lengths: Any = None) -> tuple[np.ndarray, State]:
        """Read `ids` and score what follows each of them.

        Args:    ids: integers [T, B].  state: what the rows have seen, None: nothing.
                 lengths: integers [B] in 0..T; row b stops after lengths[b], and what lies behind is not read.
        Returns: log-probabilities float32 [T, B, V], 0 behind a row's length; the State at each row's length.
        Raises:  ShapeError, DtypeError, ArgumentError; StateError for another model's state.
        """
        ids = integers(ids, "ids", rank=2)
        T, B = ids.shape
        behind = None
        if lengths is not None:
            lengths = checked_lengths(lengths, ids)
            behind = np.arange(T)[:, None] >= lengths
            ids = np.where(behind, 0, ids)
        features, parts = self._forward(ids, self._checked(state, B), lengths=lengths)
        log_probs = self._softmax.log_probs(features.reshape(T * B, features.shape[2])).reshape(T, B, self.vocab_size)
        if behind is not None:
            log_probs[behind] = 0.0
        return log_probs, self._state(parts)

    def step(self, ids: Any, state: State | None = None) -> tuple[np.ndarray, State]:
        """One token per row: ids [B], or one integer for a single stream -> (log-probabilities [B, V], State).

        The bits are those of `model([ids], state)`; only the way there is shorter.
        """
        ids = integers([ids] if isinstance(ids, int | np.integer) else ids, "ids", rank=1)
        features, parts = self._step(ids, self._checked(state, len(ids)))
        return self._softmax.log_probs(features), self._state(parts)

    def nll(self, ids: Any, *, document_starts: Any = None, state: State | None = None) -> np.ndarray:
        """Nats that each token of a text costs: −log p(ids[t] | all before it in its document).

        Args:    ids: integers [N].  document_starts: rising positions in 0..N-1 where the model starts afresh with
                 the begin token before it; None: one document.  state: what the first document starts from.
        Returns: float64 [N].
        Cost:    documents run side by side; about 64 MB of scores at a time whatever N and V are.
        """
        return likelihood.nll(self, ids, document_starts=document_starts, state=state)

    def total_nll(self, ids: Any, document_starts: Any = None) -> float:
        """The sum of `nll`, without holding it: a memory-mapped text may be larger than memory."""
        return likelihood.total_nll(self, ids, document_starts=document_starts)

    # ---- what a kind of model adds -----------------------------------------------------------------------------------

    @abstractmethod
    def _forward(self, ids: np.ndarray, parts: Parts, *, lengths: np.ndarray | None) -> tuple[np.ndarray, Parts]:
        """ids [T, B] -> features [T, B, F] and the parts at each row's length."""

    @abstractmethod
    def _step(self, ids: np.ndarray, parts: Parts) -> tuple[np.ndarray, Parts]:
        """ids [B] -> features [B, F]."""
