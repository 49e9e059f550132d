"""What a recipe's result depends on: the files that it ran, digested so that comments and spacing change nothing."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from pathlib import Path

_CXX = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*|/\*.*?\*/|\s+', re.DOTALL)


def digests(root: Path, *, script: Path) -> dict[str, str]:
    """Path and digest of every file of ours that this process has run, its script last to be named.

    Python files are those imported. The native core counts as a whole, except for parts that have a module of their
    own in rnnkit.kernels (csrc/decode, csrc/heads …) which was not imported.
    """
    loaded = {
        Path(file).resolve() for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    python = {path for path in loaded if path.suffix == ".py" and path.is_relative_to(root)} | {script}
    python = {path for path in python if path.parts[len(root.parts)] in ("src", "recipes")}
    kernels = root / "src" / "rnnkit" / "kernels"
    idle = {path.stem for path in kernels.glob("*.py") if path not in python}
    core = [path for path in (root / "csrc").rglob("*") if path.suffix in (".h", ".cc")]
    core = [path for path in core if path.stem not in idle and path.relative_to(root).parts[1] not in idle]
    files = sorted([*python, *core, root / "CMakeLists.txt"])
    return {path.relative_to(root).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """SHA-256 of what a file says: of Python's syntax tree without docstrings, of C++ without comments and spacing."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = repr(_tree(ast.parse(text)))
    elif path.suffix in (".h", ".cc"):
        text = _CXX.sub(lambda match: match[1] or " ", text)
    return hashlib.sha256(text.encode()).hexdigest()


def changed(root: Path, files: dict[str, str]) -> list[str]:
    """Those of `files` that are gone or say something else now."""
    return [name for name, want in files.items() if not (root / name).is_file() or digest(root / name) != want]


def _tree(node: object) -> object:
    """A syntax tree as nested lists; empty fields are left out, since Python versions differ in which they have."""
    if isinstance(node, list):
        return [_tree(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        fields["body"] = fields["body"][1:]
    return [type(node).__name__, *([name, _tree(value)] for name, value in fields.items() if value not in (None, []))]
