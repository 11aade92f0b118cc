"""`rl pod`: containers that share namespaces, which an infra container holds."""

import json
import os
import signal

from tests.support.engine import Engine, wait_until

SLEEP = ("busybox", "sleep", "1000")


def pod(engine: Engine, name: str) -> dict[str, object]:
    (document,) = json.loads(engine.rl("pod", "inspect", name).stdout)
    result: dict[str, object] = document
    return result


def state(engine: Engine, name: str) -> object:
    return pod(engine, name)["State"]


def test_containers_of_a_pod_reach_each_other_on_localhost(engine: Engine) -> None:
    pod_id = engine.rl("pod", "create", "--name", "shop", "--hostname", "counter", "--add-host", "x:10.1.2.3").stdout.strip()
    assert state(engine, "shop") == "Created"
    engine.rl("run", "-d", "--name", "web", "--pod", "shop", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    engine.rl("run", "-d", "--name", "job", "--pod", "shop", *SLEEP)
    fetch = ("exec", "job", "wget", "-q", "-O", "-", "http://127.0.0.1/hostname")
    wait_until(lambda: engine.rl(*fetch, check=None).stdout == "counter\n")
    assert "10.1.2.3" in engine.rl("exec", "web", "cat", "/etc/hosts").stdout
    for name in ("net", "ipc", "uts", "user"):
        inits = [engine.record(one)["Rl"]["Init"][0] for one in ("web", "job", "shop")]
        assert len({os.readlink(f"/proc/{init}/ns/{name}") for init in inits}) == 1
    assert state(engine, "shop") == "Running"
    assert engine.rl("pod", "ps", "--format", "{{.Name}} {{.NumberOfContainers}}").stdout == "shop 3\n"
    assert engine.rl("inspect", "-f", "{{.Pod}}", "web").stdout.strip() == pod_id
    assert engine.rl("ps", "--filter", "pod=shop", "-q").stdout.count("\n") == 3
    engine.rl("rm", "-f", "web")
    assert pod(engine, "shop")["NumContainers"] == 2
    engine.rl("pod", "rm", "-f", "shop")
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_pod_stops_starts_and_goes_as_a_whole(engine: Engine) -> None:
    engine.rl("pod", "create", "shop")
    engine.rl("create", "--name", "one", "--pod", "shop", *SLEEP)
    assert "infra container" in engine.rl("rm", "-f", "shop", check=1).stderr
    engine.rl("pod", "start", "shop")
    assert state(engine, "shop") == "Running"
    assert "has containers that run" in engine.rl("pod", "rm", "shop", check=1).stderr
    engine.rl("kill", "one")
    wait_until(lambda: state(engine, "shop") == "Degraded")
    engine.rl("pod", "stop", "-t", "0", "shop")
    assert state(engine, "shop") == "Exited"
    engine.rl("start", "one")
    assert state(engine, "shop") == "Running"
    engine.rl("pod", "stop", "-t", "0", "shop")
    engine.rl("pod", "rm", "shop")
    engine.rl("pod", "exists", "shop", check=1)
    assert "No such pod" in engine.rl("run", "--rm", "--pod", "shop", *SLEEP, check=125).stderr


def test_what_is_the_pods_is_refused_to_a_member(engine: Engine) -> None:
    engine.rl("pod", "create", "shop")
    for option in (("--network", "none"), ("--hostname", "x"), ("--dns", "1.1.1.1"), ("--add-host", "a:1.1.1.1")):
        assert "--pod" in engine.rl("run", "--rm", "--pod", "shop", *option, *SLEEP, check=125).stderr
    assert "cannot share" in engine.rl("pod", "create", "--share", "cgroup", check=1).stderr
    assert "already in use" in engine.rl("pod", "create", "shop", check=1).stderr
    engine.rl("pod", "rm", "shop")


def test_a_killed_infra_is_told_and_comes_back_with_the_next_start(engine: Engine) -> None:
    engine.rl("pod", "create", "shop")
    starts = [engine.start("run", "-d", "--pod", "shop", "--name", name, *SLEEP) for name in ("one", "two")]
    assert [process.wait(60) for process in starts] == [0, 0]
    monitor = engine.record("shop")["Rl"]["Monitor"][0]
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: state(engine, "shop") == "Degraded")
    engine.rl("restart", "-t", "0", "one")
    assert engine.record("shop")["State"]["Running"]
    engine.rl("pod", "rm", "-f", "shop")
    assert engine.rl("ps", "-aq").stdout == ""
