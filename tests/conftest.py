"""What holds for the whole suite: it tests the engine that its programs run, and a run in which nothing passed is no success."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import rootless

_ENGINE_OF_PROGRAMS = "import rootless; print(rootless.__file__)"


def pytest_sessionstart() -> None:
    """Refuse to import another engine than `python -I` finds, which is how tests start `rl` and its helpers."""
    command = [sys.executable, "-I", "-c", _ENGINE_OF_PROGRAMS]
    started = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if os.path.realpath(started) != os.path.realpath(rootless.__file__):
        message = f"these tests would import {rootless.__file__} and start programs of {started}: run contrib/test"
        raise pytest.UsageError(message)


def pytest_report_header() -> str:
    return f"engine: {os.path.dirname(rootless.__file__)}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail when every test was skipped or deselected."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    passed = reporter is not None and reporter.stats.get("passed")
    if exitstatus == pytest.ExitCode.OK and not passed and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.fixture(autouse=True)
def _umask_is_kept() -> Iterator[None]:
    """Let no test go on with the umask of another: unpacking sets it, in a worker of its own when it is not tested."""
    before = os.umask(0o022)
    yield
    os.umask(before)
