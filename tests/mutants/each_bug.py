"""A pytest plugin: the collected tests once with each planted bug, up to the first failure; that test then without it.

Every bug has a fork of this process to itself, so that collecting is paid once. RNNKIT_TEST_BUGS says which (JSON: the
tests to begin with, by number), RNNKIT_TEST_VERDICTS where what was found goes (JSON by number: the first failure, and
what the same test says when there is no bug; empty is no failure).
"""

import json
import os
import resource
from pathlib import Path

import pytest

from rnnkit.kernels import _core

CPU_SECONDS = 300  # a bug may leave a loop without an end
failures: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        failures.append((report.nodeid, report.longreprtext[-3000:]))


def run(items: list[pytest.Item]) -> tuple[str, str]:
    """The first failure's test and text, or nothing."""
    failures.clear()
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if failures:
            return failures[0]
    return "", ""


def run_with(bug: int, items: list[pytest.Item]) -> tuple[str, str]:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        _core.plant(bug)
        os.write(write_end, json.dumps(run(items)).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as end:
        found = end.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(found) if code == 0 else ("", f"the process ended with {code}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    verdicts = {}
    without: dict[str, str] = {}
    for bug, first in json.loads(os.environ["RNNKIT_TEST_BUGS"]).items():
        test, failure = run_with(int(bug), sorted(session.items, key=lambda item: not item.nodeid.startswith(first)))
        if test and test not in without:
            without[test] = run([item for item in session.items if item.nodeid == test])[1]
        verdicts[bug] = failure, without.get(test, "")
    Path(os.environ["RNNKIT_TEST_VERDICTS"]).write_text(json.dumps(verdicts), encoding="utf-8")
    return True
