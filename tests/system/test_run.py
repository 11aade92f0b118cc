"""`rl run` and the verbs around it, as Docker's users know them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine, check_and_remove, copy_store, make_folder

NONE = ("--network", "none")


def test_the_command_runs_as_root_of_the_container_with_the_whole_map(engine: Engine) -> None:
    script = "id -u; wc -l < /proc/self/uid_map; chown 1000:1000 /tmp && echo ok"
    result = engine.rl("run", "--rm", *NONE, "busybox", "sh", "-c", script)
    assert result.stdout.split() == ["0", "2", "ok"]


def test_exit_leaves_a_stopped_container_that_start_continues_with_its_files(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "busybox", "sh", "-c", "cat /kept 2>/dev/null || echo first > /kept")
    assert engine.state("box")["Status"] == "exited"
    assert engine.rl("start", "-a", "box").stdout == "first\n"
    engine.rl("rm", "box")
    assert engine.rl("inspect", "box", check=1).stdout.strip() in ("", "[]")


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["nosuchcommand"], 127, 'exec: "nosuchcommand": executable file not found in $PATH'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/nosuch/path"], 127, 'exec: "/nosuch/path": no such file or directory'),
        (["sh", "-c", "exit 42"], 42, ""),
        (["sh", "-c", "kill -9 $$"], 0, ""),  # PID 1 does not get it from inside
    ],
)
def test_exit_codes_are_dockers(engine: Engine, command: list[str], status: int, text: str) -> None:
    result = engine.rl("run", "--rm", *NONE, "busybox", *command, check=status)
    assert text in result.stderr


def test_engine_errors_end_with_125_and_say_what_to_do(engine: Engine) -> None:
    for arguments in (
        ["run", *NONE, "-v", "bad/name:/x", "busybox", "true"],
        ["run", *NONE, "--mount", "type=bind,source=/no/such,target=/x", "busybox", "true"],
        ["run", "--network", "nosuch", "busybox", "true"],
        ["run", *NONE, "--name", "../x", "busybox", "true"],
        ["run", *NONE, "-w", "relative", "busybox", "true"],
        ["run", *NONE, "-v", ":", "busybox", "true"],
        ["run", *NONE, "-v", "/tmp:/x", "-v", "/var:/x/", "busybox", "true"],
        ["run", *NONE, "-d", "--detach-keys", "nosuch", "busybox", "true"],
        ["run", *NONE, "-u", "nosuchuser", "busybox", "true"],
    ):
        result = engine.rl(*arguments, check=125)
        assert result.stderr.startswith("rl: "), result.stderr
        assert "\nhint: " in result.stderr, result.stderr
    assert engine.rl("ps", "-q").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 0),
        (("nosuch",), 1),
        (("--nosuch", "ps"), 125),
        (("run",), 1),
        (("run", "--nosuch", "busybox"), 125),
        (("run", "-it", "busybox"), 1),
        (("run", "UPPER"), 125),
        (("logs",), 1),
        (("logs", "a", "b"), 1),
        (("logs", "nosuch"), 1),
        (("stop", "-t", "abc", "box"), 125),
        (("kill", "-s", "NOSUCH", "box"), 1),
        (("start", "-a", "box", "box"), 1),
        (("pull", "UPPER"), 1),
        (("import", "/nosuch"), 1),
        (("ps", "--format", "{{"), 1),
        (("exec", "nosuch", "true"), 1),
        (("exec", "box"), 1),
        (("exec", "ended", "true"), 1),
        (("exec", "-u", "nosuch", "box", "true"), 126),
        (("exec", "-w", "/nosuch", "box", "true"), 126),
        (("exec", "box", "/etc/passwd"), 126),
        (("exec", "box", "nosuch"), 127),
    ],
)  # fmt: skip
def test_statuses_of_errors_are_those_of_docker(verbs_engine: Engine, arguments: tuple[str, ...], status: int) -> None:
    """As Docker 28's command line ends; where a container is needed, as its daemon makes it end."""
    verbs_engine.rl(*arguments, check=status)


@pytest.fixture(scope="module")
def verbs_engine(busybox_store: Path) -> Iterator[Engine]:
    """An engine with a running container `box` and an ended one, for commands that change nothing."""
    made = Engine(make_folder())
    copy_store(busybox_store, made.data_root)
    made.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000")
    made.rl("run", "--name", "ended", *NONE, "busybox", "true")
    yield made
    check_and_remove(made)


def test_a_name_in_use_is_refused_and_nothing_is_left(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "100")
    result = engine.rl("run", "--name", "box", *NONE, "busybox", "true", check=125)
    assert 'the container name "box" is already in use' in result.stderr
    assert len(engine.rl("ps", "-aq").stdout.split()) == 1


def test_environment_user_and_working_directory(engine: Engine) -> None:
    env_file = engine.folder / "env"
    env_file.write_text("# comment\nFROM_FILE=two words\nFROM_HERE\n")
    result = engine.rl(
        "run", "--rm", *NONE, "-e", "GIVEN=1", "--env-file", str(env_file),
        "-u", "1000:2000", "-w", "/new/folder", "--hostname", "named", "busybox",
        "sh", "-c", 'echo "$GIVEN,$FROM_FILE,$FROM_HERE,$HOSTNAME"; id -u; id -g; pwd',
        env={"FROM_HERE": "here"},
    )  # fmt: skip
    assert result.stdout.splitlines() == ["1,two words,here,named", "1000", "2000", "/new/folder"]


def test_entrypoint_replaces_the_images(engine: Engine) -> None:
    assert engine.rl("run", "--rm", *NONE, "--entrypoint", "echo", "busybox", "a", "b").stdout == "a b\n"


def test_volumes_and_mounts(engine: Engine) -> None:
    shared = engine.folder / "home" / "shared"
    script = "echo written > /data/file; stat -c %u /data"
    result = engine.rl("run", "--rm", *NONE, "-v", f"{shared}:/data", "busybox", "sh", "-c", script)
    assert result.stdout == "0\n"
    assert (shared / "file").read_text() == "written\n"
    result = engine.rl("run", "--rm", *NONE, "-v", f"{shared}:/data:ro", "busybox", "touch", "/data/x", check=1)
    assert "Read-only file system" in result.stderr
    mount = f"type=bind,source={shared}/file,target=/etc/one,readonly"
    assert engine.rl("run", "--rm", *NONE, "--mount", mount, "busybox", "cat", "/etc/one").stdout == "written\n"
    mount = "type=tmpfs,target=/scratch,tmpfs-size=1m"
    result = engine.rl("run", "--rm", *NONE, "--mount", mount, "busybox", "df", "/scratch")
    assert "1024" in result.stdout


def test_a_read_only_root_takes_no_writes(engine: Engine) -> None:
    result = engine.rl("run", "--rm", *NONE, "--read-only", "busybox", "sh", "-c", "touch /dev/shm/ok && touch /x", check=1)
    assert "/x: Read-only file system" in result.stderr


def test_init_reaps_and_forwards(engine: Engine) -> None:
    script = 'trap "exit 9" TERM; (sleep 0 &); while :; do sleep 0.05; done'
    engine.rl("run", "-d", "--init", "--name", "box", *NONE, "busybox", "sh", "-c", script)
    listing = engine.rl("exec", "box", "ps", "-o", "pid,stat,args").stdout
    assert "rl init" in listing
    assert " Z" not in listing
    engine.rl("stop", "-t", "10", "box")
    assert engine.state("box")["ExitCode"] == 9


def test_standard_streams_are_binary_safe_and_apart(engine: Engine) -> None:
    result = engine.rl("run", "--rm", "-i", *NONE, "busybox", "sh", "-c", "cat; echo err >&2", stdin="in\n")
    assert (result.stdout, result.stderr) == ("in\n", "err\n")


def test_logs_show_what_was_written_in_docker_s_json_form(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "busybox", "sh", "-c", "echo out; echo err >&2; printf unfinished")
    result = engine.rl("logs", "box")
    assert result.stdout == "out\nunfinished"
    assert result.stderr == "err\n"
    (document,) = json.loads(engine.rl("inspect", "box").stdout)
    entries = [json.loads(line) for line in Path(document["LogPath"]).read_text().splitlines()]
    assert {entry["stream"] for entry in entries} == {"stdout", "stderr"}
    assert all(set(entry) == {"log", "stream", "time"} for entry in entries)


def test_logs_follow_to_the_end(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")
    assert engine.rl("logs", "-f", "box").stdout.split() == ["1", "2", "3", "4", "5"]


def test_wait_kill_and_stop(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.rl("run", "-d", "--name", name, *NONE, "busybox", "sh", "-c", 'trap "exit 3" TERM; while :; do sleep 0.05; done')
    engine.rl("stop", "one")
    assert engine.rl("wait", "one").stdout == "3\n"
    engine.rl("kill", "two")
    assert engine.rl("wait", "two").stdout == "137\n"
    assert engine.rl("ps", "-q").stdout == ""
    assert "is running" in engine.rl("rm", "nosuch", "one", "two", check=1).stderr or engine.rl("ps", "-aq").stdout == ""


def test_exec_runs_in_the_container_s_namespaces(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", "--hostname", "inside", *NONE, "busybox", "sleep", "100")
    assert engine.rl("exec", "box", "hostname").stdout == "inside\n"
    result = engine.rl("exec", "-u", "5", "-e", "A=b", "-w", "/tmp", "box", "sh", "-c", "id -u; echo $A; pwd")
    assert result.stdout.split() == ["5", "b", "/tmp"]
    assert engine.rl("exec", "-i", "box", "cat", stdin="through\n").stdout == "through\n"
    engine.rl("exec", "box", "sh", "-c", "exit 6", check=6)
    engine.rl("exec", "box", "nosuch", check=127)
    engine.rl("exec", "-d", "box", "touch", "/made")
    status = engine.rl("exec", "box", "grep", "-E", "^(CapEff|CapBnd|Seccomp):", "/proc/self/status").stdout.split()
    assert status == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", "Seccomp:", "2"]


def test_the_host_s_network_is_shared_on_demand(engine: Engine) -> None:
    inside = engine.rl("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net").stdout.strip()
    assert inside == os.readlink("/proc/self/ns/net")


def test_a_second_start_is_refused(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "100")
    result = engine.rl("start", "box", check=None)
    assert result.status != 0
    assert "already running" in result.stderr


def test_twenty_containers_start_at_the_same_time(engine: Engine) -> None:
    started = [engine.start("run", "-d", "--name", f"box{n}", "busybox", "sleep", "100", stdout=-3) for n in range(20)]
    assert [process.wait(60) for process in started] == [0] * 20
    assert len(engine.rl("ps", "-q").stdout.split()) == 20
    engine.rl("rm", "-f", *(f"box{n}" for n in range(20)))
    assert engine.rl("ps", "-aq").stdout == ""


def test_nothing_of_the_node_is_seen_inside(engine: Engine) -> None:
    script = "ls -1 /proc/self/fd; ls /dev; cat /proc/1/cmdline | tr '\\0' ' '"
    listing = engine.rl("run", "--rm", *NONE, "busybox", "sh", "-c", script).stdout.split()
    assert [entry for entry in listing if entry.isdecimal()] == ["0", "1", "2", "3"]  # 3 is the listing's own
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "mqueue"} <= set(listing)
    assert not any("cli" in entry for entry in listing)


@pytest.mark.parametrize(
    "path", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs"]
)
def test_kernel_settings_cannot_be_written(engine: Engine, path: str) -> None:
    result = engine.rl("run", "--rm", *NONE, "busybox", "sh", "-c", f"echo x > {path}", check=None)
    assert result.status != 0
