"""`rl events`: what is told of containers and images, by which process it may be."""

import json
import subprocess

from tests.support.engine import Engine, wait_until

NONE = ("--network", "none")


def _actions(engine: Engine, *options: str) -> list[str]:
    return engine.rl("events", "--no-stream", "--format", "{{.Type}} {{.Action}}", *options).stdout.splitlines()


def test_the_life_of_a_container_is_told(engine: Engine) -> None:
    engine.rl("run", "--name", "box", "--rm", *NONE, "busybox", "sh", "-c", "exit 3", check=3)
    wait_until(lambda: "container destroy" in _actions(engine, "--filter", "container=box"), what="destroy is told")
    engine.rl("run", "-d", "--name", "web", *NONE, "busybox", "sleep", "1000")
    engine.rl("exec", "web", "sh", "-c", "exit 4", check=4)
    engine.rl("kill", "-s", "KILL", "web")
    engine.rl("wait", "web")
    wait_until(lambda: "container die" in _actions(engine, "--filter", "container=web"))
    engine.rl("tag", "busybox", "other:1")
    engine.rl("rmi", "other:1")
    told = _actions(engine, "--filter", "container=box")
    assert sorted(told) == [f"container {one}" for one in ("attach", "create", "destroy", "die", "start")]
    assert [one for one in told if "attach" not in one] == [f"container {one}" for one in ("create", "start", "die", "destroy")]
    assert _actions(engine, "--filter", "container=web") == [
        f"container {one}"
        for one in ("create", "start", "exec_create: sh -c exit 4", "exec_start: sh -c exit 4", "exec_die", "kill", "die")
    ]
    assert _actions(engine, "--filter", "type=image")[-2:] == ["image tag", "image untag"]
    shown = engine.rl("events", "--no-stream", "--format", "json", "--filter", "event=die", "--filter", "container=box")
    (line,) = shown.stdout.splitlines()
    event = json.loads(line)
    assert (event["status"], event["from"], event["scope"]) == ("die", "busybox", "local")
    assert event["Actor"]["Attributes"] == {"exitCode": "3", "image": "busybox", "name": "box"}
    assert event["id"] == event["Actor"]["ID"]
    assert event["timeNano"] // 10**9 == event["time"]
    assert "container start" in engine.rl("events", "--since", "10m", "--until", "0s").stdout


def test_a_follower_sees_what_others_do_at_once(engine: Engine) -> None:
    engine.rl("run", "--name", "before", *NONE, "busybox", "true")
    following = engine.start("events", "--filter", "event=create", "--until", "-60s", stdout=subprocess.PIPE)
    assert following.stdout is not None
    try:
        wait_until(lambda: _is_waiting(following.pid), what="the follower waits")
        engine.rl("run", "--name", "after", *NONE, "busybox", "true")
        line = following.stdout.readline()
        assert "container create" in line
        assert "name=after" in line
    finally:
        following.kill()
        following.communicate()


def _is_waiting(pid: int) -> bool:
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        if "poll" in file.read():
            return True
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] in ("7", "271")  # poll, ppoll of x86-64
