"""The course: eight notebooks that run as they stand, whose statements are asserted and whose solutions are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "docs" / "course"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
INDEX = (FOLDER / "index.md").read_text(encoding="utf-8")
# What the course was asked to teach, and what the notebook that teaches it must hold.
SUBJECTS = {
    "a network with a loop": ("01", "# 1 · A network with a loop", 'nn.Recurrent("elman_tanh"'),
    "shapes of recurrent networks": ("02", "# 2 · The shapes", "rnnkit.Tagger.train("),
    "language modelling": ("03", "# 3 · Language modelling", "rnnkit.LanguageModel.train("),
    "BPTT by hand": ("04", "# 4 · Backpropagation through time", 'worked("hello")'),
    "truncated BPTT": ("04", "## Cutting the way back", "TruncatedBPTT(window="),
    "vanishing gradients": ("05", "# 5 · Vanishing gradients", "compare_cells()"),
    "the LSTM gate by gate": ("06", "## The LSTM, gate by gate", "nn.LSTM("),
    "the GRU": ("06", "## The GRU", "nn.GRU("),
    "attention as the way out": ("07", "# 7 · Attention, the way out", "rnnkit.Translator.train("),
    "extracting its automaton": ("08", "# 8 · Extracting its automaton", "extract(judge_of("),
}
# Nothing is fetched, and no warning is overlooked, from the first cell to the last.
BEFORE = """
import socket, warnings
def _refused(*_, **__): raise OSError("the course asked for the network")
socket.socket.connect = socket.getaddrinfo = _refused
warnings.simplefilter("error")
"""
AFTER = "warnings.simplefilter('ignore')  # what the kernel says of itself while it ends is not the course's"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def texts(notebook: Any, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def tagged(notebook: Any, tag: str) -> list[int]:
    return [n for n, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]


def solutions(notebook: Any) -> list[str]:
    """The code of every hidden solution, in order."""
    return re.findall(
        r"<details>.*?```python\n(.*?)```.*?</details>", "\n".join(texts(notebook, "markdown")), re.DOTALL
    )


def test_there_are_eight_and_the_page_links_each_and_no_other() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02}" for n in range(1, 9)]
    assert re.findall(r"\]\(([^)]+\.ipynb)\)", INDEX) == [path.name for path in NOTEBOOKS]


def test_the_site_has_the_page_in_its_navigation() -> None:
    assert "course/index.md" in (FOLDER.parents[1] / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_that_was_asked_for_is_taught_and_listed(subject: str) -> None:
    number, heading, call = SUBJECTS[subject]
    (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
    notebook = read(path)
    assert any(line.startswith(heading) for text in texts(notebook, "markdown") for line in text.splitlines())
    assert any(call in code for code in texts(notebook, "code"))
    assert subject in INDEX


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean_and_has_its_parts(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    code, prose = texts(notebook, "code"), "\n".join(texts(notebook, "markdown"))
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell)
    assert [cell.id for cell in notebook.cells] == [f"cell-{n:02}" for n in range(1, len(notebook.cells) + 1)]
    assert sum("assert " in cell for cell in code) >= 4
    assert sum("plt.show()" in cell for cell in code) >= 2
    assert "rnnkit" in "\n".join(code)
    assert "$" in prose or number_of(path) == 2  # the shapes have pictures in place of equations
    assert re.search(r"\b(19|20)\d\d\b", prose)  # sources
    assert len(tagged(notebook, "answer")) == len(tagged(notebook, "check")) == len(solutions(notebook)) >= 2


def number_of(path: Path) -> int:
    return int(path.name[:2])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_notebook_links_to_exists(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", "\n".join(texts(read(path), "markdown"))):
        assert (FOLDER / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_checks_know_right_from_unanswered_and_wrong(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exercise is run as it stands, then with its own solution, then with an answer that is not the solution."""
    monkeypatch.delenv("RNNKIT_DATA", raising=False)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = read(path)
    own, cells, found = solutions(notebook), [nbformat.v4.new_code_cell(BEFORE)], []
    for n, cell in enumerate(notebook.cells):
        cells.append(cell)
        if n in tagged(notebook, "check"):
            solution = own[len(found)]
            wrong = (
                f"{solution}\nanswer = tuple(9 * part for part in answer) if isinstance(answer, tuple) else answer * 2"
            )
            again = [nbformat.v4.new_code_cell(code) for code in (solution, cell.source, wrong, cell.source)]
            found.append((cell, again[1], again[3]))
            cells += again
    notebook.cells = [*cells, nbformat.v4.new_code_cell(AFTER)]
    NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    for checks, expected in zip(zip(*found, strict=True), ("your turn", "right", "wrong"), strict=True):
        for check in checks:
            assert "".join(output.text for output in check.outputs).startswith(expected), check.source
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 2
