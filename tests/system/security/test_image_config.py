"""What an image's config may hold: environment for our own processes, escape codes for the user's terminal, texts that are none."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tars
from tests.support.archives import docker_files, tar_of
from tests.support.engine import COMMAND, Engine
from tests.support.registries import build_image
from tests.support.terminal import Terminal

from .conftest import root_file_system

NONE = ("--network", "none")
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x00\u202ecod\u0085"
BELL, CONTROLS = "\x07", set(map(chr, range(32))) - {"\n", "\t", "\r"} | {"\x7f", *map(chr, range(0x80, 0xA0)), "\u202e"}


def load(engine: Engine, programs: Path, name: str, **config: Any) -> None:
    """Load the hostile image with a config of one's own."""
    layer = tars.make(root_file_system(programs))
    path = engine.folder / "config.tar"
    path.write_bytes(tar_of(docker_files(build_image([layer], config={"Cmd": ["sh"], **config}), [layer], [name])))
    path.chmod(0o644)
    engine.rl("load", "-q", "-i", str(path))


HOSTILE_ENVIRONMENT = [
    "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "LD_AUDIT=/evil.so", "PYTHONPATH=/evil", "PYTHONSTARTUP=/evil.py",
    "PYTHONHOME=/evil", "PYTHONINSPECT=1",
    "RL_ROOT=/evil", "RL_RUNROOT=/evil", "HOME=/evil", "TMPDIR=/evil", "GCONV_PATH=/evil", "BASH_ENV=/evil",
]  # fmt: skip
ODD_ENVIRONMENT = ["=x", "", "NAME", "A=b=c", "B=two\nlines", "B=again", "NUL=a\0b", "HALF=\ud800", "BYTES=\udcff", "E=\x1b[2J"]


def test_environment_reaches_the_command_and_no_process_of_ours(hostile: Engine, programs: Path) -> None:
    load(hostile, programs, "environment", Env=[*HOSTILE_ENVIRONMENT, *ODD_ENVIRONMENT])
    hostile.rl("run", "-d", "--init", "--name", "box", "environment", "sleep", "1000")
    own = hostile.rl("exec", "box", "sh", "-c", "cat /proc/self/environ | tr '\\0' '\\n' | grep -v BYTES").stdout.splitlines()
    assert set(HOSTILE_ENVIRONMENT) <= set(own)
    assert {"A=b=c", "B=again", "E=\x1b[2J"} <= set(own)
    assert not [entry for entry in own if entry.startswith(("=", "NUL", "HALF"))]
    processes = hostile.processes()
    assert len(processes) >= 2  # the monitor and slirp_net; the container's own are not known by our RL_ROOT
    for pid, line in processes:
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        assert not [entry for entry in environment if "evil" in entry], line


BAD_CONFIGS: list[dict[str, Any]] = [
    {"Cmd": ["sh\0"]},
    {"Cmd": ["\ud800"]},
    {"Entrypoint": ["a", "b\0"]},
    {"WorkingDir": "/a\0b"},
    {"User": "root\0"},
    {"User": "\ud800"},
    {"StopSignal": "\0"},
    {"Env": [1]},
    {"Cmd": "sh"},
]


def test_texts_that_no_process_could_be_given(hostile: Engine, programs: Path) -> None:
    """Refused by name, when the image is loaded or when a container is made; never with a traceback (`Engine.rl` sees to that)."""
    for number, config in enumerate(BAD_CONFIGS):
        name = f"bad{number}"
        try:
            load(hostile, programs, name, **config)
        except AssertionError as refused:
            assert "malformed" in str(refused)  # noqa: PT017 - either this, or what follows
            continue
        ended = hostile.rl("run", "--rm", *NONE, name, check=125)
        assert "malformed" in ended.stderr, config
    assert hostile.rl("ps", "-aq").stdout == ""


@pytest.fixture
def painted(hostile: Engine, programs: Path) -> Engine:
    """An engine with a container whose image has escape codes wherever an image may have text."""
    labels = {f"label{ESCAPE}": f"value{ESCAPE}", "plain": "x"}
    usable = ESCAPE.replace("\0", "")
    load(
        hostile, programs, "painted", Labels=labels, Env=[f"PAINTED={usable}"], Entrypoint=["/bin/echo", usable], Cmd=[usable],
        StopSignal="SIGTERM", ExposedPorts={f"80{ESCAPE}": {}}, Volumes={},
    )  # fmt: skip
    hostile.rl("run", "--name", "box", *NONE, "painted")
    return hostile


@pytest.fixture
def terminal(hostile: Engine) -> Iterator[Terminal]:
    """A shell of the user's in a terminal that records what is written to it."""
    with Terminal(hostile.folder, ["sh"], hostile.environment, columns=200, rows=50) as made:
        yield made


LISTS = (
    ("ps", "-a", "--no-trunc"), ("images", "--digests"), ("history", "--no-trunc", "painted"), ("inspect", "box"),
    ("inspect", "painted"),
    ("ps", "-a", "--format", "{{.Labels}} {{.Command}} {{.Image}}"), ("ps", "-a", "--format", "table {{.Names}}\t{{.Labels}}"),
    ("inspect", "--format", "{{.Config.Labels}}", "painted"), ("inspect", "--format", "{{json .Config.Env}}", "box"),
    ("image", "tree", "painted"), ("image", "inspect", "painted"), ("images", "--filter", f"label=label{ESCAPE}".replace("\0", "")),
)  # fmt: skip


def test_escape_codes_are_not_obeyed_by_the_user_s_terminal(painted: Engine, terminal: Terminal) -> None:
    """Every list and every object, as the terminal gets it: `script` keeps the bytes."""
    for number, arguments in enumerate(LISTS):
        record = painted.folder / f"record{number}"
        quoted = " ".join("'" + argument.replace("'", "'\\''") + "'" for argument in (*COMMAND, *arguments))
        command = painted.folder / "command.sh"
        command.write_text(f"stty -opost\n{quoted}\n")
        terminal.enter(f"script -q -e -c 'sh {command}' {record} >/dev/null; echo done {number}.")
        terminal.wait_for(f"\ndone {number}.")
        content = record.read_bytes().decode(errors="replace")
        body = content.partition("\n")[2].rpartition("\nScript done")[0]
        assert not CONTROLS & set(body), (arguments, body)
        assert body.strip(), arguments


def test_escape_codes_in_what_errors_quote(painted: Engine) -> None:
    usable = ESCAPE.replace("\0", "")
    for arguments in (
        ("run", "--rm", *NONE, "--entrypoint", usable, "painted"),
        ("run", "--rm", *NONE, usable),
        ("run", "--rm", *NONE, "-u", usable, "painted"),
        ("run", "--rm", *NONE, "-w", f"/bin/sh/{usable}", "painted"),
        ("inspect", usable),
        ("rm", usable),
        ("rmi", usable),
        ("run", "--rm", "--network", usable, "painted"),
        ("run", "--rm", *NONE, "-v", f"{usable}:/x", "painted"),
        ("logs", usable),
        ("import", usable, "x"),
        ("load", "-i", usable),
    ):
        ended = painted.rl(*arguments, check=None)
        assert ended.status != 0
        assert ended.stderr
        assert not CONTROLS & set(ended.stderr), arguments


def test_escape_codes_of_a_container_s_own_are_its_output(hostile: Engine) -> None:
    """As in Docker, `logs` gives back what was written, byte by byte: only the user knows what it is for."""
    written = b"\x1b[31mred\x1b[0m\xff\xfe\x00\r\n"
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "printf", "\\033[31mred\\033[0m\\377\\376\\000\\r\\n")
    hostile.rl("wait", "box")
    command = [*COMMAND, "logs", "box"]
    shown = subprocess.run(command, env=hostile.environment, cwd=hostile.folder, capture_output=True, check=True).stdout
    assert shown == written


def test_a_log_holds_entries_and_nothing_that_looks_like_one(hostile: Engine) -> None:
    """Lines that are JSON themselves, line feeds of other kinds, halves of characters, megabytes without an end of line."""
    fake = '{"log":"fake\\n","stream":"stdout","time":"2000-01-01T00:00:00Z"}'
    script = (
        f"echo '{fake}'; printf 'a\\rb\\vc\\fd\\302\\205e\\342\\200\\250f\\n'; printf '\\342\\200'; printf '\\250 whole\\n';"
        "printf '\"},{\\n'; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last >&2"
    )
    hostile.rl("run", "--name", "box", *NONE, "hostile", "sh", "-c", script)
    (document,) = json.loads(hostile.rl("inspect", "box").stdout)
    lines = Path(document["LogPath"]).read_bytes().split(b"\n")
    assert lines.pop() == b""
    entries = [json.loads(line) for line in lines]
    assert all(set(entry) == {"log", "stream", "time"} and entry["time"] > "2020" for entry in entries)
    assert max(map(len, lines)) < 600_000  # one read of the monitor's, 256 KiB, of which JSON may escape each byte
    text = "".join(entry["log"] for entry in entries if entry["stream"] == "stdout")
    assert text == f'{fake}\na\rb\vc\fd\u0085e\u2028f\n\u2028 whole\n"}},{{\n' + "x" * 3_000_000 + "\n"
    assert [entry["log"] for entry in entries if entry["stream"] == "stderr"] == ["last\n"]
    assert hostile.rl("logs", "--tail", "1", "box").stdout + hostile.rl("logs", "--tail", "1", "box").stderr
