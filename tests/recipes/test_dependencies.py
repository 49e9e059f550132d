import importlib.util
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def dependencies():
    spec = importlib.util.spec_from_file_location("_dependencies", RECIPES / "_dependencies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "before", "same", "other"),
    [
        (
            "a.py",
            'def f(x):\n    """Old."""\n    return x + 1\n',
            "def f( x ):  # why\n    return x+1",
            "def f(x):\n    return x + 2\n",
        ),
        ("a.py", '"""Old."""\nX = "a#b"\n', '"""New."""\n\nX = "a#b"', '"""Old."""\nX = "a#c"\n'),
        (
            "a.h",
            'int f() { return 1; } // old\nauto s = "http://a";',
            'int f() { return 1; }\n/* new */ auto s = "http://a";',
            'int f() { return 1; } auto s = "http://b";',
        ),
        ("a.txt", "x", "x", "x "),
    ],
)
def test_only_what_a_file_says_counts(tmp_path, dependencies, name, before, same, other):
    want = dependencies.digest(written(tmp_path / name, before))
    assert dependencies.digest(written(tmp_path / name, same)) == want
    assert dependencies.digest(written(tmp_path / name, other)) != want


def test_files_that_changed_or_went_are_listed(tmp_path, dependencies):
    for name in ("kept.h", "changed.h", "gone.h"):
        written(tmp_path / name, "int x;")
    files = {name: dependencies.digest(tmp_path / name) for name in ("kept.h", "changed.h", "gone.h")}
    assert dependencies.changed(tmp_path, files) == []
    written(tmp_path / "changed.h", "int y;")
    (tmp_path / "gone.h").unlink()
    assert dependencies.changed(tmp_path, files) == ["changed.h", "gone.h"]


def test_a_result_depends_on_what_was_imported_and_on_the_core_behind_it(tmp_path, dependencies, monkeypatch):
    script = written(tmp_path / "recipes" / "one.py", "")
    written(tmp_path / "CMakeLists.txt", "")
    for name in ("binding/decode.cc", "decode/sample.cc", "binding/heads.cc", "heads/softmax.isa.cc", "simd/vec.h"):
        written(tmp_path / "csrc" / name, "")
    loaded = [written(tmp_path / "src" / "rnnkit" / name, "") for name in ("nn/layers.py", "kernels/heads.py")]
    for name in ("runtime/model.py", "kernels/decode.py"):
        written(tmp_path / "src" / "rnnkit" / name, "")
    for number, path in enumerate(loaded):
        module = type(sys)(f"fake_{number}")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert list(dependencies.digests(tmp_path, script=script)) == [
        "CMakeLists.txt",
        "csrc/binding/heads.cc",
        "csrc/heads/softmax.isa.cc",
        "csrc/simd/vec.h",
        "recipes/one.py",
        "src/rnnkit/kernels/heads.py",
        "src/rnnkit/nn/layers.py",
    ]
