"""The table itself: `rl oci` shows what the specification says, and crun and runc the same, or the row says why not."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import oci_schema
from tests.support.engine import make_folder, remove_tree
from tests.system.oci_conformance import cases_linux, cases_mounts, cases_process, cases_seccomp
from tests.system.oci_conformance.case import PEERS, Case, Refused, config_of
from tests.system.oci_conformance.runtimes import Bundles, Outcome, commands

pytestmark = pytest.mark.engine

CASES = [*cases_process.CASES, *cases_mounts.CASES, *cases_linux.CASES, *cases_seccomp.CASES]
WORKERS = 4
MAPS = ("annotations", "linux.sysctl", "linux.netDevices", "linux.resources.unified", "linux.resources.rdma")
NOT_OF_LINUX = {"process.commandLine", "process.user.username"}  # Windows's
# What runc does with limits depends on the version of the controllers.
OF_CGROUPS = ("linux.resources", "linux.cgroupsPath")
IS_HYBRID = os.path.isdir("/sys/fs/cgroup/unified")

Futures = dict[tuple[int, str], Future[Outcome]]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    remove_tree(made)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, folder: Path) -> Iterator[Futures]:
    """The rows that this run wants, several at a time: nearly all of a row is waiting."""
    bundles = Bundles(folder)
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.originalname == "test_row"]
    wanted = [item.callspec.params["number"] for item in items]
    with ThreadPoolExecutor(WORKERS) as pool:
        yield {
            (number, name): pool.submit(bundles.run, name, command, config_of(CASES[number]))
            for number in wanted
            for name, command in commands().items()
            if command is not None
        }


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number].place}-{number}")
def test_row(number: int, outcomes: Futures, described_peers: set[str]) -> None:
    case = CASES[number]
    ours = outcomes[number, "rl"].result()
    if isinstance(case.expected, Refused):
        assert ours.is_refused, ours
        assert case.expected in ours.stderr
    else:
        assert (ours.status, ours.stdout.strip()) == (0, case.expected), ours
    for peer in PEERS:
        if peer in described_peers and not (peer == "runc" and case.place.startswith(OF_CGROUPS) and not IS_HYBRID):
            compare(case, ours, outcomes[number, peer].result(), getattr(case, peer), peer)


@pytest.fixture(scope="module")
def described_peers() -> set[str]:
    """The peers whose version is the one that the table is about."""
    return {name for name, version in PEERS.items() if commands()[name] and version in version_of(name)}


def version_of(peer: str) -> str:
    return subprocess.run([peer, "--version"], capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def compare(case: Case, ours: Outcome, theirs: Outcome, reason: str, peer: str) -> None:
    same = theirs.is_refused if ours.is_refused else theirs.stdout == ours.stdout
    assert same != bool(reason), f"{peer} {'differs' if not same else 'does the same, but the row says: ' + reason}: {theirs}"


def places(value: object, place: str) -> Iterator[str]:
    """Yield the place of each property in a value, as the schema names it."""
    yield place
    if isinstance(value, dict):
        is_map = place in MAPS
        for name, one in value.items():
            yield from places(one, f"{place}[k]" if is_map else f"{place}.{name}".lstrip("."))
    elif isinstance(value, list):
        for one in value:
            yield from places(one, f"{place}[0]")


@pytest.mark.skipif(not os.path.isdir(oci_schema.FOLDER), reason="../shared is absent")
def test_every_property_of_the_schema_has_a_row() -> None:
    files = oci_schema.load()
    wanted = {place for place, _, _ in oci_schema.properties(files, files[oci_schema.CONFIG], oci_schema.CONFIG)}
    rows = {place for case in CASES for place in places(config_of(case), "")}
    assert sorted(wanted - rows - NOT_OF_LINUX) == []
