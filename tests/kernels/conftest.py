"""Every kernel test runs with scratch and results full of NaN beforehand, so that an element nobody writes shows."""

import pytest

from rnnkit.kernels import _core


@pytest.fixture(autouse=True)
def nan_in_fresh_memory():
    _core.fill_scratch_with_nan(True)
    yield
    _core.fill_scratch_with_nan(False)


@pytest.fixture
def threads():
    """set_num_threads for one test."""
    before = _core.get_num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)
