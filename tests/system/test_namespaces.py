"""Namespaces shared with the node and with other containers: which they are, what works in them, and how they end."""

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import COMMAND, Engine, is_alive, wait_until
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")
SLEEP = ("busybox", "sleep", "1000")


def namespace(engine: Engine, container: str, name: str) -> str:
    """Return the identity of a namespace that a container's init is in."""
    return os.readlink(f"/proc/{engine.record(container)['Rl']['Init'][0]}/ns/{name}")


def inspected(engine: Engine, container: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("inspect", container).stdout)
    result: dict[str, Any] = document
    return result


def sleeping(seconds: str) -> int:
    """Return how many processes of the node sleep for that long."""
    return int(subprocess.run(["pgrep", "-fxc", f"sleep {seconds}"], capture_output=True, text=True, check=False).stdout)


def test_a_network_is_shared_with_all_power_over_it(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", "--hostname", "first", *SLEEP)
    first = engine.record("one")
    engine.rl("run", "-d", "--name", "two", "--network", "container:one", "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    assert namespace(engine, "two", "net") == namespace(engine, "one", "net")
    assert namespace(engine, "two", "pid") != namespace(engine, "one", "pid")
    fetch = ("exec", "one", "wget", "-q", "-O", "-", "http://127.0.0.1/hostname")
    wait_until(lambda: engine.rl(*fetch, check=None).stdout == "first\n")
    engine.rl("exec", "two", "ping", "-c", "1", "-W", "5", "10.0.2.2")
    assert "eth0" in engine.rl("exec", "two", "ls", "/sys/class/net").stdout
    assert engine.rl("exec", "two", "hostname").stdout == "first\n"
    document = inspected(engine, "two")
    assert document["HostConfig"]["NetworkMode"] == f"container:{first['Id']}"
    assert document["HostsPath"] == first["HostsPath"]
    with Path(first["HostsPath"]).open("a") as hosts:
        hosts.write("10.9.8.7 added\n")
    assert "added" in engine.rl("exec", "two", "cat", "/etc/hosts").stdout


def test_a_pid_namespace_is_shared(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, "busybox", "sh", "-c", "sleep 1111 & exec sleep 2222")
    short = engine.record("one")["Id"][:12]
    result = engine.rl("run", "--rm", *NONE, "--pid", f"container:{short}", "busybox", "ps", "-o", "pid,args")
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    assert ["1", "sleep 2222"] in lines
    assert any(line[1] == "sleep 1111" for line in lines)
    kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q '^sleep 1111' && kill ${p#/proc/}; done; true"
    engine.rl("run", "--rm", *NONE, "--pid", "container:one", "busybox", "sh", "-c", kill)
    assert "sleep 1111" not in engine.rl("exec", "one", "ps", "-o", "args").stdout


def test_what_init_leaves_in_a_shared_pid_namespace_ends_with_the_container(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    seconds = f"7{os.getpid()}"  # of this run of the tests
    for options in ((), ("--init",)):
        script = f"setsid sh -c 'trap \"\" TERM HUP; sleep {seconds}' & sleep 0.1; exit 3"
        engine.rl("run", "--rm", *options, *NONE, "--pid", "container:one", "busybox", "sh", "-c", script, check=3)
        assert sleeping(seconds) == 0
    script = f"setsid sleep {seconds} & exec sleep 1000"
    engine.rl("run", "-d", "--name", "two", *NONE, "--pid", "host", "busybox", "sh", "-c", script)
    engine.rl("exec", "-d", "two", "sleep", seconds)
    wait_until(lambda: sleeping(seconds) == 2)
    assert len(engine.rl("top", "two").stdout.splitlines()) == 4  # of the node's processes only its own
    engine.rl("stop", "-t", "0", "two")
    assert sleeping(seconds) == 0


def test_another_runtime_shares_no_pid_namespace(engine: Engine) -> None:
    for runtime in ("crun", "runc"):
        result = engine.rl("run", "--rm", "--runtime", runtime, "--pid", "host", *NONE, "busybox", "true", check=125)
        assert "another runtime than rl cannot share a PID namespace" in result.stderr


def test_a_killed_monitor_takes_those_along_too(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    script = "setsid sleep 4321 & exec sleep 1000"
    engine.rl("run", "-d", "--name", "two", *NONE, "--pid", "container:one", "busybox", "sh", "-c", script)
    wait_until(lambda: "sleep 4321" in engine.rl("exec", "one", "ps", "-o", "args").stdout)
    if engine.record("two")["Rl"]["MountNamespace"] is None:
        pytest.skip("the kernel does not number mount namespaces (Linux 6.11)")
    monitor, init = (engine.record("two")["Rl"][key][0] for key in ("Monitor", "Init"))
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(init))
    assert engine.state("two")["Status"] == "exited"
    assert "sleep 4321" not in engine.rl("exec", "one", "ps", "-o", "args").stdout


def test_the_end_of_the_target_ends_a_joined_pid_namespace_only(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *SLEEP)
    engine.rl("run", "-d", "--name", "two", *NONE, "--pid", "container:one", *SLEEP)
    engine.rl("run", "-d", "--name", "three", "--network", "container:one", *SLEEP)
    before = namespace(engine, "three", "net")
    engine.rl("rm", "-f", "one")
    assert engine.rl("wait", "two").stdout == "137\n"
    assert namespace(engine, "three", "net") == before
    assert "127.0.0.1" in engine.rl("exec", "three", "ip", "addr").stdout
    assert "three" not in engine.rl("exec", "three", "cat", "/etc/hosts").stdout


def test_ipc_is_shared_with_its_files(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", "--ipc", "shareable", *NONE, *SLEEP)
    engine.rl("run", "-d", "--name", "two", "--ipc", "container:one", *NONE, *SLEEP)
    assert namespace(engine, "two", "ipc") == namespace(engine, "one", "ipc")
    engine.rl("exec", "one", "sh", "-c", "echo shared > /dev/shm/file; touch /dev/mqueue/queue")
    assert engine.rl("exec", "two", "sh", "-c", "cat /dev/shm/file; ls /dev/mqueue").stdout == "shared\nqueue\n"
    engine.rl("run", "-d", "--name", "own", *NONE, *SLEEP)
    result = engine.rl("run", "--rm", "--ipc", "container:own", *NONE, "busybox", "true", check=125)
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in result.stderr
    script = "mount | grep -c ' /dev/shm ' || readlink /proc/self/ns/ipc"
    alone = engine.rl("run", "--rm", "--ipc", "none", *NONE, "busybox", "sh", "-c", script).stdout.split()
    assert alone[0] == "0"
    assert alone[1] not in (os.readlink("/proc/self/ns/ipc"), namespace(engine, "one", "ipc"))


def test_the_node_s_namespaces_are_shared_on_demand(engine: Engine) -> None:
    links = "for n in pid ipc uts cgroup net; do readlink /proc/self/ns/$n; done"
    script = f"{links}; hostname; ls /proc | grep -c '^[0-9]'; ls -d /dev/shm"
    everything = ("--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host", "--network", "host")
    lines = engine.rl("run", "--rm", *everything, "busybox", "sh", "-c", script).stdout.splitlines()
    assert lines[:5] == [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc", "uts", "cgroup", "net")]
    assert lines[5] == os.uname().nodename
    assert int(lines[6]) > 5
    own = engine.rl("run", "--rm", *NONE, "busybox", "sh", "-c", script).stdout.splitlines()
    assert not set(own[:5]) & set(lines[:5])
    # The node's processes are seen, its settings are not written.
    write = "echo 1 > /proc/sys/kernel/printk"
    assert "Read-only" in engine.rl("run", "--rm", "--pid", "host", *NONE, "busybox", "sh", "-c", write, check=1).stderr


def test_host_names_are_shared(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", "--hostname", "first", *NONE, *SLEEP)
    script = "hostname; echo $HOSTNAME; readlink /proc/self/ns/uts"
    result = engine.rl("run", "--rm", "--uts", "container:one", *NONE, "busybox", "sh", "-c", script)
    assert result.stdout.split() == ["first", "first", namespace(engine, "one", "uts")]


def test_a_user_namespace_is_shared_or_the_parent_s(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    engine.rl("run", "-d", "--name", "two", "--userns", "container:one", *NONE, *SLEEP)
    assert namespace(engine, "two", "user") == namespace(engine, "one", "user")
    engine.rl("run", "-d", "--name", "three", "--userns", "host", *NONE, *SLEEP)
    engine.rl("run", "-d", "--name", "four", "--userns", "host", *NONE, *SLEEP)
    assert namespace(engine, "three", "user") == namespace(engine, "four", "user") != namespace(engine, "one", "user")
    result = engine.rl("exec", "three", "sh", "-c", "wc -l < /proc/self/uid_map; chown 5 /tmp; stat -c %u /tmp; id -u")
    assert result.stdout.split() == ["2", "5", "0"]
    # A container that joins one that runs in the parent namespace has none of its power.
    engine.rl("run", "-d", "--name", "five", "--network", "container:three", *SLEEP)
    assert namespace(engine, "five", "user") not in (namespace(engine, "three", "user"), namespace(engine, "one", "user"))
    assert namespace(engine, "five", "net") == namespace(engine, "three", "net")


@pytest.mark.parametrize("options", [("--userns", "private"), ()])
def test_namespaces_without_power_over_them_are_seen_all_the_same(engine: Engine, options: tuple[str, ...]) -> None:
    engine.rl("run", "-d", "--name", "one", "--ipc", "shareable", *SLEEP)
    engine.rl("run", "-d", "--name", "two", *NONE, "busybox", "sleep", "2222")
    pid = "container:one" if options else "container:two"
    joined = ("--network", "container:one", "--pid", pid, "--ipc", "container:one")
    engine.rl("run", "-d", "--name", "three", *options, *joined, *SLEEP)
    assert namespace(engine, "three", "user") not in (namespace(engine, "one", "user"), namespace(engine, "two", "user"))
    engine.rl("exec", "one", "sh", "-c", "touch /dev/shm/file /dev/mqueue/queue")
    script = "ls /sys/class/net /dev/shm /dev/mqueue; tr '\\0' ' ' < /proc/1/cmdline; ip addr show eth0"
    result = engine.rl("exec", "three", "sh", "-c", script)
    for text in ("eth0", "file", "queue", "10.0.2.100", "sleep 1000" if options else "sleep 2222"):
        assert text in result.stdout, result.stdout
    assert "Read-only" in engine.rl("exec", "three", "sh", "-c", "echo x > /proc/sys/kernel/printk", check=1).stderr


@pytest.mark.parametrize("driver", ["overlay", "fuse", "vfs"])
def test_joining_works_with_each_driver(engine: Engine, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    joined = ("--network", "container:one", "--pid", "container:one")
    for user in ((), ("--userns", "host"), ("--userns", "private")):
        script = "echo kept > /file; chown 7 /file; stat -c %u /file; cat /file"
        assert engine.rl("run", "--rm", *joined, *user, "busybox", "sh", "-c", script).stdout == "7\nkept\n"


def test_with_one_id(one_id_engine: Engine) -> None:
    one_id_engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    joined = ("--network", "container:one", "--pid", "container:one")
    for user in ((), ("--userns", "host"), ("--userns", "private")):
        script = "id -u; cat /proc/1/cmdline | tr '\\0' ' '"
        assert one_id_engine.rl("run", "--rm", *joined, *user, "busybox", "sh", "-c", script).stdout == "0\nsleep 1000 "


def test_a_restart_joins_what_the_id_is_then(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    engine.rl("run", "--name", "two", "--network", "container:one", "busybox", "readlink", "/proc/self/ns/net")
    engine.rl("stop", "-t", "0", "one")
    result = engine.rl("start", "-a", "two", check=None)
    assert f"cannot join network of a non running container: {engine.record('one')['Id']}" in result.stderr
    engine.rl("start", "one")
    assert engine.rl("start", "-a", "two").stdout.strip() == namespace(engine, "one", "net")
    engine.rl("rm", "-f", "one")
    assert "No such container" in engine.rl("start", "-a", "two", check=None).stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--network", "container:nobody"), "No such container: nobody"),
        (("--pid", "container:nobody"), "No such container: nobody"),
        (("--network", "container:"), "invalid container format container:<name|id>"),
        (("--pid", "nonsense"), "--pid: invalid PID mode: nonsense"),
        (("--ipc", "nonsense"), "--ipc: invalid IPC mode: nonsense"),
        (("--uts", "nonsense"), "--uts: invalid UTS mode: nonsense"),
        (("--userns", "nonsense"), "--userns: invalid USER mode: nonsense"),
        (("--cgroupns", "container:one"), "--cgroupns: invalid CGROUP mode: container:one"),
        (("--uts", "host", "--hostname", "x"), "conflicting options: hostname and the UTS mode"),
        (("--network", "container:stopped", "--hostname", "x"), "conflicting options: hostname and the network mode"),
        (("--network", "container:stopped"), "cannot join network of a non running container: "),
        (("--pid", "container:stopped"), "cannot join PID of a non running container: "),
        (("--ipc", "container:stopped"), "cannot join IPC of a non running container: "),
        (("--group-add", "keep-groups", "--group-add", "5"), "is not allowed with any other --group-add options"),
        (("--group-add", "nosuchgroup"), "unable to find group nosuchgroup"),
    ],
)
def test_errors(engine: Engine, options: tuple[str, ...], text: str) -> None:
    engine.rl("run", "--name", "stopped", *NONE, "busybox", "true")
    network = () if "--network" in options else NONE
    result = engine.rl("run", *network, *options, "busybox", "true", check=125)
    assert text in result.stderr
    assert "hint: " in result.stderr or "--group-add" in text or "group" in text


def test_a_container_on_another_node_is_named(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", *NONE, *SLEEP)
    record = engine.record("one")
    path = engine.data_root / "containers" / record["Id"] / "container.json"
    text = path.read_text()
    path.write_text(text.replace(f'"Node": "{os.uname().nodename}"', '"Node": "elsewhere"'))
    result = engine.rl("run", "--network", "container:one", "busybox", "true", check=125)
    path.write_text(text)
    assert "is running on elsewhere" in result.stderr


def test_inspect_shows_the_modes_as_docker_does(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "one", "--ipc", "shareable", *NONE, *SLEEP)
    full = f"container:{engine.record('one')['Id']}"
    engine.rl("run", "-d", "--name", "two", *NONE, "--group-add", "5", "--group-add", "7", *SLEEP)
    keys = ("PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode", "GroupAdd")
    assert [inspected(engine, "two")["HostConfig"][key] for key in keys] == ["", "private", "", "", "private", ["5", "7"]]
    joined = ("--pid", "container:one", "--ipc", "container:one", "--uts", "container:one", "--userns", "container:one")
    engine.rl("run", "-d", "--name", "three", *NONE, *joined, "--cgroupns", "host", *SLEEP)
    assert [inspected(engine, "three")["HostConfig"][key] for key in keys] == [full, full, full, full, "host", None]


def test_groups_are_added_by_name_and_number(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "--group-add", "4242", "--group-add", "43", *SLEEP)
    for command in (("exec", "box"), ("run", "--rm", *NONE, "--group-add", "4242", "--group-add", "43", "busybox")):
        groups = engine.rl(*command, "id", "-G").stdout.split()
        assert {"4242", "43"} <= set(groups)
    engine.rl("exec", "-u", "99", "box", "sh", "-c", "id -G | grep -w 4242")


@pytest.mark.skipif(os.getuid() != 0, reason="gives the user another group: needs root")
@pytest.mark.parametrize("options", [(), ("--userns", "host"), ("-u", "5:6")])
def test_kept_groups_open_what_only_they_may_read(engine: Engine, options: tuple[str, ...]) -> None:
    shared = engine.folder / "home" / "shared"
    shared.mkdir()
    (shared / "secret").write_text("for the group\n")
    os.chown(shared / "secret", 0, 54321)
    (shared / "secret").chmod(0o640)
    shared.chmod(0o755)

    def in_group(*arguments: str) -> "subprocess.CompletedProcess[str]":
        privileges = {**drop_privileges(), "extra_groups": [USER.pw_gid, 54321]}
        streams = {"capture_output": True, "text": True}
        command = [*COMMAND, *arguments]
        return subprocess.run(command, env=engine.environment, cwd=engine.folder, check=False, **streams, **privileges)

    volume = ("-v", f"{shared}:/shared")
    read = ("busybox", "cat", "/shared/secret")
    assert "Permission denied" in in_group("run", "--rm", *NONE, *volume, *options, *read).stderr
    assert in_group("run", "--rm", *NONE, *volume, *options, "--group-add", "keep-groups", *read).stdout == "for the group\n"
    assert in_group("run", "-d", "--name", "box", *NONE, *volume, *options, "--group-add", "keep-groups", *SLEEP).returncode == 0
    assert in_group("exec", "box", "cat", "/shared/secret").stdout == "for the group\n"
    assert inspected(engine, "box")["HostConfig"]["GroupAdd"] == ["keep-groups"]


def parent_namespace(engine: Engine, container: str) -> int:
    """Return the inode of the parent namespace that a container's user namespace is a child of."""
    descriptor = os.open(f"/proc/{engine.record(container)['Rl']['Init'][0]}/ns/user", os.O_RDONLY)
    parent = fcntl.ioctl(descriptor, 0xB702)  # NS_GET_PARENT, ioctl_ns(2)
    inode = os.fstat(parent).st_ino
    os.close(parent)
    os.close(descriptor)
    return inode


def test_containers_that_start_at_the_same_time_have_one_parent(engine: Engine) -> None:
    for attempt in range(3):  # each time with no container there before
        names = [f"box{attempt}-{number}" for number in range(8)]
        started = [engine.start("run", "-d", "--name", name, *SLEEP, stdout=subprocess.DEVNULL) for name in names]
        assert [process.wait(60) for process in started] == [0] * len(names)
        assert len({parent_namespace(engine, name) for name in names}) == 1
        engine.rl("rm", "-f", *names)
