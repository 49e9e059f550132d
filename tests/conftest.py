"""The longest files first, so that the workers of `make test` end together; and no example is timed."""

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

LONGEST = ("mutants/test_native_mutants.py", "mutants/test_planted.py", "nn/test_parity.py", "cli/test_verbs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((n for n, file in enumerate(LONGEST) if item.path.match(file)), len(LONGEST))

    items.sort(key=place)
