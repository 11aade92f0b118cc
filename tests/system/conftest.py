"""Fixtures of the whole-`rl` tests: a fresh data root with the busybox image for each."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import other_drivers, other_runtimes
from tests.support.engine import Engine, check_and_remove, copy_store, make_folder, remove_tree, wait_until
from tests.support.one_id import OneIdEngine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what the runtime or the storage driver under test is not asked for."""
    runtime, driver = os.environ.get("RL_RUNTIME", "rl"), os.environ.get("RL_STORAGE_DRIVER", "")
    for item in items:
        reasons = {
            runtime: other_runtimes.why_not(item.nodeid) if runtime != "rl" else None,
            driver: other_drivers.why_not(item.nodeid, driver),
        }
        for name, reason in reasons.items():
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=f"{name}: {reason}"))


@pytest.fixture(scope="session")
def busybox_store() -> Iterator[Path]:
    """A data root that holds the embedded busybox image and the cached choices of this node; made once, then copied."""
    folder = make_folder()
    engine = Engine(folder)
    engine.python("-m", "rootless.images.busybox", "/bin/busybox")
    engine.rl("run", "--rm", "--network", "none", "busybox", "true")  # chooses the driver, compiles the filter
    wait_until(lambda: not engine.processes(), what="the monitor has tidied up, so that nothing changes under a copy")
    yield engine.data_root
    remove_tree(folder)


@pytest.fixture
def engine(busybox_store: Path) -> Iterator[Engine]:
    """An engine of its own for one test."""
    made = Engine(make_folder())
    copy_store(busybox_store, made.data_root)
    yield made
    check_and_remove(made)


@pytest.fixture(params=["overlay", "fuse", "vfs"])
def engine_with_driver(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """The same with each storage driver in turn."""
    engine.environment["RL_STORAGE_DRIVER"] = request.param
    return engine


@pytest.fixture
def one_id_engine(engine: Engine) -> Iterator[Engine]:
    """The same data root for a user without subordinate IDs."""
    if os.getuid() != 0:
        pytest.skip("hides /etc/subuid from itself: needs root")
    made = OneIdEngine(engine.folder)
    yield made
    names = made.rl("ps", "-aq").stdout.split()
    if names:
        made.rl("rm", "-f", *names)
