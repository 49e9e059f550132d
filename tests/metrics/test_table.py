import math

import pytest

from rnnkit.errors import ArgumentError
from rnnkit.metrics import Column, ResultTable, Row
from rnnkit.metrics.language import LANGUAGE_MODEL_COLUMNS

COLUMNS = (
    Column("ppl", "perplexity", ".1f", better="lower"),
    Column("f1", "F1", ".2f", better="higher"),
    Column("b", "bytes", ",.0f"),
)
MODEL = Row("LSTM", {"ppl": 4.25, "f1": 0.5, "b": 1000}, is_baseline=False)
BASELINE = Row("Kneser|Ney", {"ppl": 5, "b": 2000}, is_baseline=True)


def test_no_score_stands_alone():
    with pytest.raises(ArgumentError, match="'LSTM' stands alone"):
        ResultTable([MODEL], columns=COLUMNS)
    assert ResultTable([BASELINE], columns=COLUMNS).rows == (BASELINE,)
    assert ResultTable([], columns=COLUMNS).cells() == []


def test_the_better_end_of_a_column_wins():
    other = Row("GRU", {"ppl": 4.25, "f1": math.nan}, is_baseline=False)
    table = ResultTable([MODEL, BASELINE, other], columns=COLUMNS)
    assert [table.best(column) for column in COLUMNS] == [{0, 2}, {0}, set()]


def test_cells_are_formatted_and_absent_figures_empty():
    table = ResultTable([MODEL, BASELINE], columns=COLUMNS)
    assert table.header == ["model", "perplexity", "F1", "bytes"]
    assert table.cells() == [["LSTM", "4.2", "0.50", "1,000"], ["Kneser|Ney", "5.0", "", "2,000"]]


def test_a_column_that_no_row_fills_is_left_out():
    assert ResultTable([BASELINE], columns=COLUMNS).header == ["model", "perplexity", "bytes"]


def test_markdown_has_the_winner_bold():
    assert ResultTable([MODEL, BASELINE], columns=COLUMNS).to_markdown().splitlines() == [
        "| model | perplexity | F1 | bytes |",
        "| --- | ---: | ---: | ---: |",
        "| LSTM | **4.2** | **0.50** | 1,000 |",
        "| Kneser\\|Ney | 5.0 |  | 2,000 |",
    ]


def test_the_language_model_columns_are_keys_of_metrics_json():
    row = Row("x", {"perplexity": 1234.5, "unseen_share": 0.25, "train_seconds": 1}, is_baseline=True)
    assert ResultTable([row], columns=LANGUAGE_MODEL_COLUMNS).cells() == [["x", "1,234.50", "25.0%", "1.0"]]
