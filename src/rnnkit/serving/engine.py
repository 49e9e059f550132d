"""One model and all who wait for it: the steps of different streams run as one batch, tick after tick."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.runtime import LanguageModel
from rnnkit.runtime.side_by_side import Reading, SideBySide, Writing
from rnnkit.serving.faults import Fault
from rnnkit.serving.limits import Limits
from rnnkit.serving.meters import Meters


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is said of a state: the `top` likeliest next tokens, all log-probabilities, the hidden state."""

    top: int = 0
    log_probs: bool = False
    hidden: bool = False


@dataclass(eq=False)
class _Job:
    work: Reading
    wanted: Wanted
    events: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    is_left: bool = False
    said: dict[str, Any] = field(default_factory=dict)


class Engine:
    """Works for `model`, until `close`; made inside the event loop.

    All bookkeeping is the event loop's; a thread of its own does the arithmetic, mostly without the GIL.
    """

    def __init__(self, name: str, model: LanguageModel, limits: Limits, meters: Meters) -> None:
        self.name, self.model, self.streams = name, model, SideBySide(model)
        self._limits, self._meters = limits, meters
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"engine-{name}")
        self._task = asyncio.create_task(self._run())

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """Whether as many wait as may."""
        return len(self._waiting) >= self._limits.num_waiting

    def check_room(self) -> None:
        """Raises: Fault 429 when as many wait as may."""
        if self.is_full:
            self._meters.refused += 1
            raise Fault(429, f"{len(self._waiting)} requests wait already; try again later", retry_s=1)

    async def do(self, work: Reading, wanted: Wanted) -> dict[str, Any]:
        """Do the work to its end; what was wanted of its last state. Raises: Fault 429; the work's own error."""
        said: dict[str, Any] = {}
        async for event in self.stream(work, wanted):
            said = event
        return said

    async def stream(self, work: Reading, wanted: Wanted) -> AsyncGenerator[dict[str, Any]]:
        """As `do`, with what was wanted, and `text`, whenever a new text became certain; the last with `is_done`.

        Whoever stops iterating takes the work out of the batch before the next tick.
        """
        self.check_room()
        job = _Job(work, wanted)
        self._waiting.append(job)
        self._wake.set()
        try:
            while True:
                event = await job.events.get()
                if work.error is not None:
                    raise work.error
                yield event
                if event["is_done"]:
                    return
        finally:
            job.is_left = True
            with contextlib.suppress(ValueError):  # it runs already; else its place among those that wait is free now
                self._waiting.remove(job)

    async def close(self) -> None:
        """Take no more work."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._running = [job for job in self._running if not job.is_left]
            while self._waiting and len(self._running) < self._limits.batch:
                job = self._waiting.popleft()
                if not job.is_left:
                    self._running.append(job)
            if not self._running:
                self._wake.clear()
                await self._wake.wait()
                continue
            jobs = self._running
            try:
                await loop.run_in_executor(self._thread, self._tick, jobs)
            except Exception as error:  # a fault of ours: those in this batch are told, the others are served
                for job in jobs:
                    job.work.error = job.work.error or Fault(500, f"internal error, {type(error).__name__}: {error}")
            self._meters.batches += 1
            self._meters.batch_rows += len(jobs)
            self._running = [job for job in jobs if not job.work.is_done]
            for job in jobs:
                if job.said or job.work.is_done:
                    job.events.put_nowait({**job.said, "is_done": job.work.is_done})

    def _tick(self, jobs: Sequence[_Job]) -> None:
        before = sum(job.work.num_read for job in jobs)
        live = [job for job in jobs if not job.work.is_done]
        if live:
            self.streams.advance([job.work for job in live])
        self._meters.tokens += sum(job.work.num_read for job in jobs) - before
        told = []
        for job in jobs:
            text = job.work.take() if isinstance(job.work, Writing) else ""
            job.said = {"text": text} if text else {}
            if job.work.is_done or text:
                told.append(job)
        self._say([job for job in told if job.work.error is None and (job.wanted.top or job.wanted.log_probs)])
        for job in told:
            if job.wanted.hidden and job.work.error is None:
                job.said["hidden"] = [quantised(h) for h in self.streams.hidden(job.work.vector)]

    def _say(self, jobs: Sequence[_Job]) -> None:
        """The scores of all that want some, at once."""
        if not jobs:
            return
        log_probs = self.streams.log_probs(np.stack([job.work.vector for job in jobs]))
        most = min(max(job.wanted.top for job in jobs), log_probs.shape[1])
        best = np.argpartition(-log_probs, most - 1, axis=1)[:, :most] if most else np.zeros((len(jobs), 0), np.int64)
        scores = np.take_along_axis(log_probs, best, axis=1)
        order = np.lexsort((best, -scores), axis=1)  # equal scores by id
        ids = np.take_along_axis(best, order, axis=1).tolist()
        shares = np.exp(np.take_along_axis(scores, order, axis=1)).tolist()
        text = self.model.tokenizer.token_text
        for row, job in enumerate(jobs):
            if job.wanted.top:
                pairs = zip(ids[row][: job.wanted.top], shares[row], strict=False)
                job.said["top"] = [{"id": id, "text": text(id), "probability": share} for id, share in pairs]
            if job.wanted.log_probs:
                job.said["log_probs"] = log_probs[row].tolist()


def quantised(h: np.ndarray) -> list[int]:
    """A hidden state to be looked at: −127 … 127 for −1 … 1."""
    return np.rint(np.clip(np.nan_to_num(h), -1, 1) * 127).astype(int).tolist()
