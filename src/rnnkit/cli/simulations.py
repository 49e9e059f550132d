"""What `rnnkit predict` does with a simulator: a table of outputs, or the output of each line of inputs on stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rnnkit.errors import DataError, RnnkitError

if TYPE_CHECKING:
    from rnnkit.api import Simulator


def write(model: Simulator, file: Path | None, *, encoding: str, is_jsonl: bool) -> None:
    """Of the records of a file what comes out at each step, from the inputs alone; of stdin, a line of inputs for each
    step, the same as the lines come.
    """
    outputs = model.system.outputs
    if file is None:
        _follow(model, encoding, is_jsonl=is_jsonl)
        return
    if not is_jsonl:
        print("\t".join(("record", "step", *outputs)))
    names = model.read(str(file), encoding=encoding, with_outputs=False).names
    for name, said in zip(names, model.simulate(str(file), encoding=encoding), strict=True):
        for step, values in enumerate(said.tolist()):
            if is_jsonl:
                row = {"record": name, "step": step, **dict(zip(outputs, values, strict=True))}
                print(json.dumps(row, ensure_ascii=False))
            else:
                print("\t".join((name, str(step), *(f"{value:.6g}" for value in values))))


def _follow(model: Simulator, encoding: str, *, is_jsonl: bool) -> None:
    from rnnkit.cli import lines

    state = model.initial_state()
    for number, line in enumerate(lines.text_lines(sys.stdin.buffer, encoding, name="stdin"), start=1):
        try:
            said, state = model.step([[float(cell) for cell in line.replace(",", " ").split()]], state)
        except (ValueError, RnnkitError) as error:
            inputs = ", ".join(model.system.inputs)
            raise DataError(f"stdin, line {number}: {error}; every line is one step: {inputs}") from None
        values = said[0].tolist()
        if is_jsonl:
            print(json.dumps(dict(zip(model.system.outputs, values, strict=True)), ensure_ascii=False), flush=True)
        else:
            print("\t".join(f"{value:.6g}" for value in values), flush=True)
