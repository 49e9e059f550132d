"""Clocks of time series: what one step is, told by the times themselves, and times as whole numbers of steps."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, Self

import numpy as np

from rnnkit.errors import ArgumentError

Unit = Literal["seconds", "months", "steps"]

_DAY = 86_400
_YEAR = 31_557_600  # of 365.25 days
# What `--frequency` may be called, and what it is; a number before it multiplies it: 15min.
_NAMES: dict[str, tuple[Unit, int]] = {
    "s": ("seconds", 1), "min": ("seconds", 60), "h": ("seconds", 3600), "D": ("seconds", _DAY),
    "W": ("seconds", 7 * _DAY), "M": ("months", 1), "Q": ("months", 3), "Y": ("months", 12),
    "int": ("steps", 1), "rows": ("steps", 0),
}  # fmt: skip


class Frequency(NamedTuple):
    """One step of a clock: `size` seconds, calendar months, or whole numbers; of rows (size 0) the next row.

    Attributes:
        phase: of the times before the first step: seconds or months into a step.
        day:   of months: the day of the month that times stand at, 0: its last one.
    """

    unit: Unit
    size: int
    phase: int = 0
    day: int = 1

    @classmethod
    def named(cls, name: str) -> Self:
        """Of a name: s, min, h, D, W, M, Q, Y, int or rows, with a number before it if it is several: 15min.

        Raises: ArgumentError.
        """
        digits = name[: len(name) - len(name.lstrip("0123456789"))]
        unit, count = _NAMES.get(name[len(digits) :], ("steps", -1))
        if count < 0 or (digits and (not count or not int(digits))):
            raise ArgumentError(f"frequency {name!r} is not known; give {', '.join(_NAMES)}, or several as 15min")
        return cls(unit, count * int(digits or 1))

    @property
    def name(self) -> str:
        """The shortest of its names."""
        if self.unit == "steps" and not self.size:
            return "rows"
        for name, (unit, count) in reversed(_NAMES.items()):
            if unit == self.unit and count and self.size % count == 0:
                return name if self.size == count else f"{self.size // count}{name}"
        raise AssertionError(self)  # every unit has a name of count 1

    @property
    def season(self) -> int:
        """Steps after which it usually repeats: a day of hours or minutes, a week of days, a year of longer steps."""
        if self.unit == "months":
            return max(12 // self.size, 1)
        if self.unit == "steps":
            return 1
        for long in (_DAY, 7 * _DAY, 52 * 7 * _DAY):
            if self.size < long and long % self.size == 0:
                return long // self.size
        return 1

    def calendar(self, season: int) -> list[tuple[int, int]]:
        """The cycles of the calendar that differ from step to step: (steps, cycles in so many)."""
        found: list[tuple[int, int]] = []
        if self.unit == "months":
            found = [(12 // self.size, 1)] if 12 % self.size == 0 else []
        elif self.unit == "seconds":
            if self.size < _DAY and _DAY % self.size == 0:
                found.append((_DAY // self.size, 1))
            if self.size < 7 * _DAY and 7 * _DAY % self.size == 0:
                found.append((7 * _DAY // self.size, 1))
            if 600 <= self.size <= 14 * _DAY:
                common = math.gcd(_YEAR, self.size)
                found.append((_YEAR // common, self.size // common))
        if season > 1 and all(cycles * season != steps for steps, cycles in found):
            found.append((season, 1))
        return [(steps, cycles) for steps, cycles in found if steps > 2 * cycles or (steps, cycles) == (2, 1)]

    def clocks(self, times: np.ndarray) -> np.ndarray:
        """Times as whole steps since 1970 (of whole numbers since 0), int64; −1 added where one lies between steps.

        Args:    times: datetime64, or integers.
        Returns: [N, 2]: the step, and how far behind it the time is, in seconds, months or whole numbers.
        """
        return np.stack(np.divmod(self._position(times) - self.phase, max(self.size, 1)), 1)

    def anchored(self, times: np.ndarray) -> Self:
        """The same frequency with the phase, and of months the day, of the first of these times."""
        position = int(self._position(times[:1])[0])
        day = 1
        if self.unit == "months":
            ends, days = _month_days(times)
            day = 0 if ends.all() and (days > 27).all() else int(days[0])
        return self._replace(phase=position % max(self.size, 1), day=day)

    def times(self, clocks: np.ndarray) -> np.ndarray:
        """The times of steps: datetime64[s], or integers."""
        position = np.asarray(clocks, np.int64) * max(self.size, 1) + self.phase
        if self.unit == "steps":
            return position
        if self.unit == "seconds":
            return position.astype("datetime64[s]")
        months = position.astype("datetime64[M]")
        last = (months + 1).astype("datetime64[D]") - 1
        if self.day:
            last = np.minimum(months.astype("datetime64[D]") + (self.day - 1), last)
        return last.astype("datetime64[s]")

    def _position(self, times: np.ndarray) -> np.ndarray:
        if self.unit == "months":
            return times.astype("datetime64[M]").astype(np.int64)
        return (times.astype("datetime64[s]") if times.dtype.kind == "M" else times).astype(np.int64)

    @classmethod
    def inferred(cls, times: np.ndarray) -> Self | None:
        """Of rising times: months where all stand at one day of the month, or at its end, else seconds; the largest
        step that every time is a whole number of steps behind the first. None: a single time says nothing.
        """
        if len(times) < 2:
            return None
        if times.dtype.kind != "M":
            return cls("steps", int(np.gcd.reduce(np.diff(times)))).anchored(times)
        ends, days = _month_days(times)
        months = times.astype("datetime64[M]").astype(np.int64)
        is_whole_days = bool((times.astype(np.int64) % _DAY == 0).all())
        if is_whole_days and ((days == days[0]).all() or ends.all()) and (np.diff(months) > 0).all():
            return cls("months", int(np.gcd.reduce(np.diff(months)))).anchored(times)
        return cls("seconds", int(np.gcd.reduce(np.diff(times.astype(np.int64))))).anchored(times)


def shown(times: np.ndarray) -> list[str]:
    """Times as they are written: dates where all are whole days, else with the time of day; integers as they are."""
    if times.dtype.kind != "M":
        return [str(time) for time in times.tolist()]
    if (times.astype("datetime64[s]").astype(np.int64) % _DAY == 0).all():
        return np.datetime_as_string(times, unit="D").tolist()
    return [text.replace("T", " ") for text in np.datetime_as_string(times, unit="s").tolist()]


def _month_days(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each time's day is the last one of its month, and its day of the month."""
    days, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    number = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    return (days + 1).astype("datetime64[M]") != months, number
