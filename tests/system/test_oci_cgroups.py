"""`rl oci` and cgroups: a container gets the one its config names where the tree can be written, and does without elsewhere."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import wait_until
from tests.support.oci_bundle import Runtime, config
from tests.support.test_user import USER

pytestmark = pytest.mark.engine


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A cgroup of the test user's, as a log-in manager gives one."""
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mounted = [fields[1] for fields in lines if fields[2] == "cgroup2"]
    if os.getuid() != 0 or not mounted or not os.access(mounted[0], os.W_OK):
        pytest.skip("only root can delegate a cgroup, and only of a tree of version 2")
    folder = Path(mounted[0]) / f"rl-test-{os.urandom(3).hex()}"
    folder.mkdir()
    (folder / "caller").mkdir()
    for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control", folder / "caller"):
        os.chown(path, USER.pw_uid, USER.pw_gid)
    yield folder
    (folder / "caller").rmdir()
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    folder.rmdir()


@pytest.fixture
def inside(delegated: Path) -> Iterator[None]:
    """Be in the delegated cgroup while the test runs: only its own members can be moved within it."""
    before = next(line[3:].strip() for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    (delegated / "caller" / "cgroup.procs").write_text(str(os.getpid()))
    yield
    (delegated.parent / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))


@pytest.mark.usefixtures("inside")
def test_a_container_is_placed_found_and_ended_by_its_cgroup(runtime: Runtime, delegated: Path) -> None:
    spec = config("sh", "-c", "sleep 1000 & exec sleep 1000")
    spec["linux"]["namespaces"] = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != "pid"]
    spec["mounts"][0] = {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}
    spec["linux"]["cgroupsPath"] = f"/{delegated.name}/one"
    runtime.write(spec)
    runtime.create("one")
    runtime.run("start", "one")
    members = (delegated / "one" / "cgroup.procs").read_text().split()
    wait_until(lambda: len((delegated / "one" / "cgroup.procs").read_text().split()) == 2, what="both processes are there")
    assert str(runtime.state("one")["pid"]) in members
    assert len(json.loads(runtime.run("ps", "--format", "json", "one").stdout)) == 2
    assert runtime.run("exec", "one", "grep", "0::", "/proc/self/cgroup").stdout.strip().endswith("/one")
    runtime.run("kill", "--all", "one", "KILL")
    runtime.wait_for("one", "stopped")
    runtime.run("delete", "one")
    assert not (delegated / "one").exists()


def test_a_container_does_without_where_there_is_none(runtime: Runtime) -> None:
    spec = config("echo", "ran")
    for path in ("/rl-test-none/one", "rl-test-none", "user.slice:rl:one"):
        spec["linux"]["cgroupsPath"] = path
        runtime.write(spec)
        assert runtime.run("run", "one").stdout == "ran\n"


def test_limits_are_refused_or_told_of(runtime: Runtime) -> None:
    spec = config("echo", "ran")
    spec["linux"]["resources"] = {"memory": {"limit": 1 << 30}}
    runtime.write(spec)
    assert "linux.resources.memory.limit" in runtime.run("run", "one", check=1).stderr
    result = runtime.run("--cgroup-manager", "disabled", "run", "one")
    assert result.stdout == "ran\n"
    assert "linux.resources.memory.limit" in result.stderr
