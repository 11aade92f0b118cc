"""Verbs on containers that neither start nor end them: create, rename, exists, top, prune."""

import json
import threading

import pytest

from tests.support.engine import Engine, Result

pytestmark = pytest.mark.engine


def names(engine: Engine) -> list[str]:
    return sorted(engine.rl("ps", "-a", "--format", "{{.Names}}").stdout.split())


def test_a_created_container_waits_for_start(engine: Engine) -> None:
    made = engine.rl("create", "--network", "none", "--name", "box", "-e", "A=1", "busybox", "sh", "-c", "echo $A").stdout.strip()
    (document,) = json.loads(engine.rl("inspect", "box").stdout)
    assert document["Id"] == made
    assert document["State"]["Status"] == "created"
    assert document["State"]["Running"] is False
    assert engine.rl("ps", "-a", "--format", "{{.Status}}").stdout == "Created\n"
    assert engine.rl("start", "-a", "box").stdout == "1\n"


def test_a_created_container_with_rm_stays_until_it_ran(engine: Engine) -> None:
    engine.rl("create", "--rm", "--network", "none", "--name", "box", "busybox", "true")
    assert names(engine) == ["box"]
    engine.rl("start", "-a", "box")
    assert names(engine) == []


def test_exists_tells_by_its_status(engine: Engine) -> None:
    made = engine.rl("create", "--name", "box", "busybox").stdout.strip()
    for name, status in (("box", 0), (made, 0), (made[:6], 0), ("bo", 1), ("no/such", 1), ("", 1)):
        result = engine.rl("container", "exists", name, check=status)
        assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize("running", [True, False])
def test_a_renamed_container_has_one_name(engine: Engine, running: bool) -> None:
    if running:
        engine.rl("run", "-d", "--network", "none", "--name", "old", "busybox", "sleep", "1000")
    else:
        engine.rl("create", "--name", "old", "busybox")
    engine.rl("rename", "old", "new")
    assert names(engine) == ["new"]
    assert engine.rl("inspect", "--format", "{{.Name}}", "new").stdout == "/new\n"
    assert "No such" in engine.rl("inspect", "old", check=1).stderr
    engine.rl("create", "--name", "old", "busybox")  # free again
    if running:
        engine.rl("kill", "new")
        engine.rl("wait", "new")
        assert names(engine) == ["new", "old"]  # the monitor has written the record once more


def test_a_rename_that_cannot_be_changes_nothing(engine: Engine) -> None:
    engine.rl("create", "--name", "one", "busybox")
    engine.rl("create", "--name", "two", "busybox")
    assert "already in use" in engine.rl("rename", "one", "two", check=1).stderr
    assert "named one already" in engine.rl("rename", "one", "one", check=1).stderr
    assert "invalid container name" in engine.rl("rename", "one", "x/", check=1).stderr
    assert "No such container" in engine.rl("rename", "three", "four", check=1).stderr
    assert names(engine) == ["one", "two"]


def test_of_many_renames_to_one_name_one_wins(engine: Engine) -> None:
    boxes = [f"box{number}" for number in range(6)]
    for box in boxes:
        engine.rl("create", "--name", box, "busybox")
    results: list[Result] = []

    def attempt(box: str) -> None:
        results.append(engine.rl("rename", box, "winner", check=None))

    threads = [threading.Thread(target=attempt, args=(box,)) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.status for result in results) == [0, 1, 1, 1, 1, 1]
    assert len(names(engine)) == 6
    assert "winner" in names(engine)


def test_top_lists_the_container_s_processes(engine: Engine) -> None:
    engine.rl("run", "-d", "--network", "none", "--name", "box", "-u", "7", "busybox", "sh", "-c", "sleep 1001 & sleep 1002")
    engine.rl("exec", "box", "sh", "-c", "until [ $(pidof sleep | wc -w) = 2 ]; do :; done")
    lines = engine.rl("top", "box").stdout.splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert sorted(line.split("00:00:00 ")[-1].strip() for line in lines[1:] if "sh -c" not in line) == ["sleep 1001", "sleep 1002"]
    shown = engine.rl("top", "box", "-o", "pid,args").stdout.splitlines()
    assert shown[0].split() == ["PID", "COMMAND"]
    assert len(shown) == len(lines)
    assert "PID" in engine.rl("top", "box", "-o", "args", check=1).stderr
    engine.rl("kill", "box")
    engine.rl("wait", "box")
    assert "not running" in engine.rl("top", "box", check=1).stderr


def test_prune_removes_what_does_not_run(engine: Engine) -> None:
    engine.rl("run", "-d", "--network", "none", "--name", "runs", "busybox", "sleep", "1000")
    stopped = engine.rl("create", "--name", "stopped", "busybox").stdout.strip()
    result = engine.rl("container", "prune", stdin="n\n", check=1)
    assert "This will remove all stopped containers" in result.stdout
    assert engine.rl("container", "prune", "-f", "--filter", "until=24h").stdout == "Total reclaimed space: 0B\n"
    lines = engine.rl("container", "prune", "-f").stdout.splitlines()
    assert lines[:2] == ["Deleted Containers:", stopped]
    assert names(engine) == ["runs"]
    engine.rl("rm", "-f", "runs")


def test_rm_and_kill_choose_containers_in_other_ways(engine: Engine) -> None:
    for name in ("one", "two", "three"):
        cid_file = ("--cidfile", f"{engine.folder}/home/{name}.id")
        engine.rl("run", "-d", "--name", name, *cid_file, "--network", "none", "busybox", "sleep", "100")
    engine.rl("create", "--name", "never", "--label", "a=b", "--network", "none", "busybox", "true")
    assert engine.rl("kill", "--cidfile", f"{engine.folder}/home/one.id").status == 0
    assert engine.rl("wait", "one").stdout == "137\n"
    assert engine.rl("rm", "--cidfile", f"{engine.folder}/home/one.id").status == 0
    assert engine.rl("rm", "--filter", "label=a=b").stdout == "never\n"
    assert engine.rl("rm", "-i", "never", "none").stdout == ""
    assert "No such container: never" in engine.rl("rm", "never", check=1).stderr
    assert "--time is only for --force" in engine.rl("rm", "-t", "1", "two", check=1).stderr
    assert sorted(engine.rl("kill", "-a", "-s", "STOP").stdout.split()) == ["three", "two"]
    assert engine.rl("rm", "-f=true", "--time", "0", "two").stdout == "two\n"
    assert engine.rl("rm", "-fa").stdout == "three\n"
    assert "you must name at least one container" in engine.rl("rm", check=1).stderr
