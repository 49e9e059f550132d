"""What `rnnkit predict` does with a forecaster: a table of what comes next, or a forecast after each value on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnkit.errors import DataError, RnnkitError

if TYPE_CHECKING:
    from rnnkit.api import Forecaster


def write(model: Forecaster, file: Path | None, *, encoding: str, is_jsonl: bool) -> None:
    """Of the series of a file what comes after each, a row for every step; of the values on stdin, one to a line, the
    next steps after each of them.
    """
    if file is None:
        _follow(model, encoding, is_jsonl=is_jsonl)
        return
    columns = model.predict(df=str(file))
    if not is_jsonl:
        print("\t".join(columns))
    for row in zip(*columns.values(), strict=True):
        if is_jsonl:
            print(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
        else:
            print("\t".join(_cell(value) for value in row))


def _follow(model: Forecaster, encoding: str, *, is_jsonl: bool) -> None:
    from rnnkit.cli import lines

    state = model.initial_state()
    for number, line in enumerate(lines.text_lines(sys.stdin.buffer, encoding, name="stdin"), start=1):
        try:
            forecast, state = model.step([float(line) if line.strip() else float("nan")], state)
        except (ValueError, RnnkitError) as error:
            raise DataError(f"stdin, line {number}: {error}; every line is one value of a series") from None
        point = forecast.point[0].tolist()
        if not is_jsonl:
            print("\t".join(map(_cell, point)), flush=True)
            continue
        said: dict[str, Any] = {"forecast": point}
        if forecast.output != "point":
            values = forecast.quantiles()[0].T.tolist()
            said |= {f"q{100 * level:g}": of for level, of in zip(forecast.levels, values, strict=True)}
        print(json.dumps(said), flush=True)


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
