"""Log drivers beyond files: systemd's journal, passthrough, and a buffer before a slow log; `rl logs --color`."""

import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine, wait_until
from tests.support.journal import PROGRAM, Journal, JournalEngine
from tests.support.terminal import Terminal
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")


@pytest.fixture
def journal_engine(engine: Engine) -> Iterator[JournalEngine]:
    """The same data root, where a journald of its own listens."""
    if os.getuid() != 0:
        pytest.skip("gives a journald a mount namespace: needs root")
    if not Path(PROGRAM).exists():
        pytest.skip(f"no {PROGRAM}")
    with Journal() as journal:
        made = JournalEngine(engine.folder, journal)
        yield made
        made.rl("rm", "-fa", check=None)


def _fields(engine: JournalEngine, *matches: str) -> list[dict[str, str]]:
    command = [*engine.journal.enter(), "journalctl", "-q", "--all", "-o", "verbose", *matches]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries = re.split(r"^\S.*\n", text, flags=re.MULTILINE)[1:]
    return [dict(line.strip().partition("=")[::2] for line in entry.splitlines()) for entry in entries]


def test_the_journal_has_docker_s_fields_and_logs_reads_them(journal_engine: JournalEngine) -> None:
    options = ("--log-driver", "journald", "--log-opt", "tag=web/{{.Name}}", "--label", "com.a=1", "--log-opt", "labels-regex=^com")
    script = "echo out; echo err >&2; printf 'a\\001b\\n'; printf end"
    journal_engine.rl("run", "--name", "box", *NONE, *options, "busybox", "sh", "-c", script)
    shown = journal_engine.rl("logs", "box")  # at once: the journal may not have the last entry yet
    assert (shown.stdout, shown.stderr) == ("out\na\x01b\nend", "err\n")
    container_id = os.readlink(journal_engine.data_root / "names" / "box")
    (entry,) = _fields(journal_engine, f"CONTAINER_ID_FULL={container_id}", "MESSAGE=err")
    expected = {
        "PRIORITY": "3",
        "CONTAINER_NAME": "box",
        "CONTAINER_ID": container_id[:12],
        "CONTAINER_TAG": "web/box",
        "SYSLOG_IDENTIFIER": "web/box",
        "IMAGE_NAME": "busybox",
        "COM_A": "1",
        "_UID": str(USER.pw_uid),
    }
    assert {name: entry[name] for name in expected} == expected
    assert journal_engine.rl("logs", "--details", "--tail", "1", "box").stdout == "com.a=1,tag=web/box end"
    times = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(rf"({times} (out|a\x01b)\n){{2}}{times} end", journal_engine.rl("logs", "-t", "box").stdout)
    assert journal_engine.rl("logs", "--since", "1h", "--until", "30m", "box").stdout == ""


def test_long_lines_and_binary_content_come_back_from_the_journal(journal_engine: JournalEngine) -> None:
    content = b"x" * 100_000 + b"\n" + bytes(range(256)) * 200 + b"y" * (2 * 16384) + b"\n\nend\n"
    source = journal_engine.folder / "home" / "content"
    source.write_bytes(content)
    options = ("-v", f"{source}:/content", "--log-driver", "journald")
    journal_engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", "cat", "/content")
    journal_engine.rl("wait", "box")
    command = [*journal_engine.journal.enter(), *COMMAND, "logs", "box"]
    shown = subprocess.run(command, env=journal_engine.environment, stdout=subprocess.PIPE, check=True).stdout
    assert shown == content


def test_following_the_journal_ends_with_the_container(journal_engine: JournalEngine) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); [ $((i%50)) = 0 ] && usleep 100000; done"
    journal_engine.rl("run", "-d", "--name", "box", *NONE, "--log-driver", "journald", "busybox", "sh", "-c", script)
    assert journal_engine.rl("logs", "-f", "box").stdout == "".join(f"line {number}\n" for number in range(300))
    assert journal_engine.rl("logs", "-n", "2", "box").stdout == "line 298\nline 299\n"


@pytest.mark.skipif(Path("/run/systemd/journal/socket").exists(), reason="this node has a journal")
def test_without_a_journal_the_driver_is_refused_by_name(engine: Engine) -> None:
    result = engine.rl("run", "--rm", *NONE, "--log-driver", "journald", "busybox", "true", check=125)
    assert "journald needs systemd's journal" in result.stderr
    assert "json-file" in result.stderr


def test_passthrough_gives_the_container_the_command_s_own_streams(engine: Engine) -> None:
    out, errors, source = (engine.folder / "home" / name for name in ("out", "errors", "in"))
    source.write_text("typed\n")
    script = "cat; echo err >&2; readlink /proc/self/fd/1"
    command = [*COMMAND, "run", "-i", "--name", "box", *NONE, "--log-driver", "passthrough", "busybox", "sh", "-c", script]
    options = {"env": engine.environment, "cwd": engine.folder, **drop_privileges()}
    with source.open() as stdin, out.open("w") as stdout, errors.open("w") as stderr:
        subprocess.run(command, stdin=stdin, stdout=stdout, stderr=stderr, check=True, **options)
    assert re.fullmatch("typed\n/.+\n", out.read_text())  # a file of the host's, and no pipe of ours
    assert errors.read_text() == "err\n"
    assert "does not support reading" in engine.rl("logs", "box", check=1).stderr


def test_passthrough_outlives_the_command_and_cannot_be_attached_to(engine: Engine) -> None:
    options = ("--log-driver", "passthrough")
    process = engine.start(
        "run", "-d", "--name", "box", *NONE, *options, "busybox", "sh", "-c", "usleep 700000; echo late",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.wait(30) == 0  # the command has ended, the container writes to its pipe later
    assert "passthrough" in engine.rl("attach", "box", check=1).stderr
    out, err = process.communicate(timeout=30)
    assert re.fullmatch(r"[0-9a-f]{64}\nlate\n", out), (out, err)


def test_passthrough_never_gets_a_terminal(engine: Engine) -> None:
    refused = engine.rl("run", "-t", "--log-driver", "passthrough", "busybox", "true", check=125)
    assert "cannot be used with a terminal" in refused.stderr
    command = [*COMMAND, "run", "--name", "box", "--log-driver", "passthrough", "busybox", "true"]
    with Terminal(engine.folder, ["sh"], engine.environment) as terminal:
        terminal.enter(f"{shlex.join(command)}; echo status $?")
        assert "cannot be used on a terminal" in terminal.wait_for("status 125")
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_log_that_nobody_takes_does_not_stop_a_container_with_a_buffer(engine: Engine) -> None:
    fifo = engine.folder / "home" / "log"
    os.mkfifo(fifo)
    os.chown(fifo, USER.pw_uid, USER.pw_gid)
    script = "i=0; while [ $i -lt 20000 ]; do echo a line of some length, number $i, of many; i=$((i+1)); done; touch /home/done"
    buffer = ("--log-opt", f"path={fifo}", "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64k")
    descriptor = os.open(fifo, os.O_RDWR)  # a reader that does not read
    try:
        (engine.folder / "home" / "shared").mkdir(mode=0o777)
        shutil.chown(engine.folder / "home" / "shared", USER.pw_uid)
        volume = f"{engine.folder}/home/shared:/home"
        engine.rl("run", "-d", "--name", "box", *NONE, "-v", volume, *buffer, "busybox", "sh", "-c", script)
        wait_until((engine.folder / "home" / "shared" / "done").exists, what="the container is through", seconds=30)
        received = bytearray()
        reader = threading.Thread(target=_read_until_quiet, args=(descriptor, received))
        reader.start()
        engine.rl("wait", "box")
        reader.join()
    finally:
        os.close(descriptor)
    lines = re.findall(rb'"log":"([^"]*)\\n"', bytes(received))
    kept = [line for line in lines if b"log lost" not in line]
    assert 0 < len(kept) < 20000
    assert all(re.fullmatch(rb"a line of some length, number \d+, of many", line) for line in kept)
    assert any(re.fullmatch(rb"\[log lost: \d+ bytes, the buffer was full\]", line) for line in lines)


def _read_until_quiet(descriptor: int, received: bytearray) -> None:
    os.set_blocking(descriptor, False)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 2:
        try:
            received += os.read(descriptor, 1 << 16)
            quiet_since = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)


def test_a_killed_writer_of_the_buffer_s_log_is_replaced(engine: Engine) -> None:
    script = "echo before; read line; echo after"
    options = ("--log-opt", "mode=non-blocking")
    engine.rl("run", "-di", "--name", "box", *NONE, *options, "busybox", "sh", "-c", script)
    wait_until(lambda: engine.rl("logs", "box").stdout == "before\n", what="the first line is written")
    (writer,) = [pid for pid, line in engine.processes() if line == "rl write log"]
    os.kill(writer, 9)
    engine.rl("attach", "box", stdin="go\n")
    shown = engine.rl("logs", "box")
    assert (shown.stdout, shown.stderr) == ("before\nafter\n", "[log lost: the process that wrote it was killed]\n")


def test_colors_tell_containers_apart(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.rl("run", "--name", name, *NONE, "busybox", "echo", name)
    shown = engine.rl("logs", "--color", "one", "two").stdout
    assert shown == "\33[37mone one\33[0m\n\33[31mtwo two\33[0m\n"
    assert engine.rl("logs", "one").stdout == "one\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--log-driver", "journald", "--log-opt", "max-size=1m"), "unknown log opt 'max-size' for journald"),
        (("--log-driver", "passthrough", "--log-opt", "tag=x"), "unknown log opt 'tag' for passthrough"),
        (("--log-opt", "mode=lazy"), "invalid mode: 'lazy'"),
        (("--log-opt", "max-buffer-size=1m"), "max-buffer-size is only for mode=non-blocking"),
        (("--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=x"), "invalid max-buffer-size: 'x'"),
        (("--log-opt", "labels-regex=("), "invalid labels-regex: '('"),
        (("--log-driver", "k8s-file", "--log-opt", "tag=x"), "unknown log opt 'tag' for k8s-file"),
    ],
)
def test_wrong_options_are_named(engine: Engine, options: tuple[str, ...], said: str) -> None:
    result = engine.rl("run", *options, "busybox", "true", check=125)
    assert said in result.stderr
    assert "hint:" in result.stderr
