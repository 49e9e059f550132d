"""The longest files first, so that the workers of `make test` end together."""

import pytest

LONGEST = ("mutants/test_native_mutants.py", "mutants/test_planted.py", "nn/test_parity.py", "cli/test_verbs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((n for n, file in enumerate(LONGEST) if item.path.match(file)), len(LONGEST))

    items.sort(key=place)
