"""Logits to token: the one place where a model's scores become the id that comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.kernels import _core
from rnnkit.kernels.heads import PackedLinear
from rnnkit.kernels.recurrent import Layer


def philox_uniform(seed: int, stream: int, step: int) -> float:
    """The random number of one draw: a function of its name (seed, stream, step), not of what was drawn before.

    Philox4x32-10 with key = seed and counter = (step, stream), low words first; the first 53 bits, scaled.

    Args:    seed, stream, step: integers from 0 to 2^64 - 1.
    Returns: a float in [0, 1).
    Raises:  ArgumentError, DtypeError for anything else.
    Source:  Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    return _core.philox_uniform(seed, stream, step)


def sample(
    logits: Any,  # [B, V]
    *,
    seed: int,
    streams: Any,  # [B]
    step: Any,  # int or [B]
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    previous: Sequence[Any] | None = None,
) -> np.ndarray:
    """Draw one token per row, the same whatever the other rows are.

    In this order, on scores s = logits, all in double precision:
    1. repetition penalty p: each distinct previous id has s ← s·p where s < 0, else s/p;
    2. temperature: weights w = exp((s − max s) / temperature); temperature 0 returns argmax s;
    3. top_k: only the k first of the ranking stay (by score, equal scores by id);
    4. top_p: only the shortest prefix of the ranking stays whose share of the remaining weight reaches top_p;
    5. min_p: only tokens of at least min_p times the weight of the first stay;
    6. the draw: the first id whose running sum of weights passes philox_uniform(seed, stream, step) · Σ w.

    Args:    logits: float32 [B, V]; -inf forbids a token.  streams: ints [B], the name of each row's random stream.
             step: the position of the draw in its stream, one int or ints [B].
             temperature: 0 or more.  top_k: 0 = off.  top_p: from 0 (the first of the ranking) to 1 (off).
             min_p: from 0 (off) to 1.  repetition_penalty: above 0, 1 = off.
             previous: per row, the ids that the penalty punishes (repeats count once).
    Returns: int64 [B].
    Raises:  ArgumentError naming the row: NaN or +inf in it, nothing but -inf, a previous id outside [0, V); and for
             options out of range. ShapeError, DtypeError for arrays that do not fit.
    Cost:    O(V) per row, and a sort of what top_p has to look at.
    Source:  Keskar et al. 2019 (penalty), Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p), Nguyen et al.
             2024 (min-p).
    """
    return _core.sample(logits, seed, streams, step, temperature, top_k, top_p, min_p, repetition_penalty, previous)


class SamplingLoop:
    """Tokens drawn one after the other, for B streams side by side, without a way back to Python between them.

        loop = SamplingLoop(layers, scores=head, state=state, seed=1, streams=[0, 1])
        loop.draw(10)        # ids [10, 2]: the next ten tokens of each stream
        loop.draw(10)        # the ten after them

    Each token is what `sample` draws (at step first_step, first_step + 1, … of its stream) from scores(projection(h)),
    where h is the output of the last layer's `step` for the token before; the first one's h is that of `state`. The
    bits are the same.

    Args:    layers: each reads the output of the one below; the first one ids, or rows of `table` [V, E] float32.
             scores, projection: from the last h to the scores of the V tokens.
             state: for every layer its parts [B, H], which are copied.
             seed, streams, temperature, top_k, top_p, min_p, repetition_penalty, previous: as `sample`; what is drawn
             is added to `previous`.
    Raises:  ArgumentError, ShapeError, DtypeError naming the argument.
    Cost:    of a token: reading the weights once. It runs without the GIL, on all the threads that this is worth; on a
             busy machine on those that are there.
    """

    __slots__ = ("_loop",)

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        scores: PackedLinear,
        projection: PackedLinear | None = None,
        table: Any | None = None,
        state: Sequence[Sequence[Any]],
        seed: int,
        streams: Any,
        first_step: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        previous: Sequence[Any] | None = None,
    ) -> None:
        self._loop = _core.SamplingLoop(
            tuple(layer._core for layer in layers),
            table,
            None if projection is None else projection._packed,
            scores._packed,
            tuple(map(tuple, state)),
            seed,
            np.asarray(streams),
            first_step,
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty,
            previous,
        )

    def draw(self, count: int, allowed: Any | None = None) -> np.ndarray:
        """The next `count` tokens of every stream, int64 [count, B]; fewer when a stream cannot go on.

        Args:   allowed: bool [B, V], what each stream's token may be; of one token, so `count` is then 1.
        Raises: ArgumentError naming the row, once no token is left before the scores that `sample` refuses.
        """
        return self._loop.draw(count, allowed)

    def keep(self, rows: Any) -> None:
        """Go on with some streams only: rising row numbers."""
        self._loop.keep(np.asarray(rows, np.int64))
