"""The guide's Python runs, and goes on as the runtime does."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny

from rnnkit import export, runtime

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"


def test_the_guides_loop_writes_what_the_runtime_finds_most_probable(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = runtime.LanguageModel.from_parts(*tiny.parts(num_layers=2))
    model.save(tmp_path)
    export.to_onnx(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1], names)
    token, state, want = model.begin_id, None, []
    for _ in range(20):
        log_probs, state = model.step([token], state)
        token = int(np.argmax(log_probs[0]))
        want.append(token)
    assert want == names["text"]
