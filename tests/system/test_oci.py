"""`rl oci`: the life of containers made from bundles, as an ordinary user."""

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.oci_bundle import Runtime, config

pytestmark = pytest.mark.engine


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def test_run_gives_output_input_and_status(runtime: Runtime) -> None:
    runtime.write(config("sh", "-c", "cat; hostname; echo err >&2; exit 7"))
    result = runtime.run("run", "one", check=7, stdin="hello\n")
    assert (result.stdout, result.stderr) == ("hello\noci\n", "err\n")
    assert runtime.run("list", "-q").stdout == ""


def test_the_life_of_a_container(runtime: Runtime) -> None:
    runtime.write({**config("sleep", "100"), "annotations": {"org.example.a": "b"}})
    runtime.create("one", "--pid-file", "pid")
    state = runtime.state("one")
    assert state["status"] == "created"
    assert (state["id"], state["bundle"], state["annotations"]) == ("one", str(runtime.bundle), {"org.example.a": "b"})
    assert str(state["pid"]) == (runtime.bundle / "pid").read_text()
    runtime.run("start", "one")
    assert runtime.state("one")["status"] == "running"
    assert json.loads(runtime.run("ps", "--format", "json", "one").stdout) == [state["pid"]]
    assert runtime.run("exec", "one", "sh", "-c", "echo $$; exit 5", check=5).stdout.strip().isdigit()
    assert "running" in runtime.run("start", "one", check=1).stderr
    assert "running" in runtime.run("delete", "one", check=1).stderr
    runtime.run("kill", "one", "KILL")
    runtime.wait_for("one", "stopped")
    assert "stopped" in runtime.run("start", "one", check=1).stderr
    assert "not running" in runtime.run("kill", "one", str(int(signal.SIGTERM)), check=1).stderr
    runtime.run("delete", "one")
    assert "does not exist" in runtime.run("state", "one", check=1).stderr
    assert "does not exist" in runtime.run("delete", "one", check=1).stderr
    runtime.run("delete", "--force", "one")
