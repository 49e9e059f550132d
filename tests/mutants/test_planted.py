"""The parity suite finds every planted bug, and nothing when there is none."""

import warnings

import pytest
import torch
from mutants.planted import BUGS, planted
from parity import check_layer, suite
from parity_generator import check_generator, generator_suite

pytestmark = pytest.mark.timeout(1500)


def run_suite():
    """Everything, quickest first; the first disagreement raises."""
    for config in generator_suite():
        check_generator(config)
    for case in suite():
        check_layer(case, backend="spec", dtype=torch.float64)
        check_layer(case, backend="native")


@pytest.fixture(scope="module", autouse=True)
def clean_run():
    run_suite()


def test_there_are_enough_bugs_with_names_of_their_own():
    assert len({bug.title for bug in BUGS}) == len(BUGS) >= 22


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_the_suite_finds(bug):
    with planted(bug), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            run_suite()
        except (NameError, AttributeError):
            raise  # the bug itself is misspelt
        except Exception:
            return
    pytest.fail(f"not found: {bug.title}")
