"""RUN --mount: files of the context, of stages and of other contexts, caches, memory, secrets, the ssh agent."""

import gzip
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine, wait_until
from tests.support.test_user import USER, drop_privileges
from tests.system.build.test_context import build, make_context
from tests.system.build.test_sources import look

pytestmark = pytest.mark.engine

_SECRET = "s3cr3t-never-in-a-layer"


def test_binds_show_files_and_keep_no_changes(engine: Engine) -> None:
    text = """FROM busybox AS made
RUN mkdir /m && echo made > /m/x && chown 3:4 /m/x
FROM busybox
WORKDIR /w
RUN --mount=target=/src cat /src/in/a > /seen && ls /src > /names && ! touch /src/no 2> /dev/null
RUN --mount=type=bind,source=in,target=rel,rw echo changed > rel/a && cat rel/a > /changed
RUN --mount=type=bind,source=in/a,target=/one,readwrite echo more >> /one && cat /one > /of_file
RUN --mount=from=made,source=m,target=/from/made stat -c %u:%g /from/made/x > /owner && ! touch /from/made/no 2> /dev/null
RUN --mount=from=made,target=/all,rw echo x > /all/m/x && cat /all/m/x > /of_stage
RUN --mount=from=other,target=/o cat /o/file > /of_other
RUN --mount=type=tmpfs,target=/t,size=1m grep " /t tmpfs" /proc/mounts > /tmpfs && echo x > /t/x
"""
    folder = make_context(engine, text, {"in/a": "a\n", "hidden": "h", ".dockerignore": "hidden\n.dockerignore\n"})
    other = engine.folder / "other"
    other.mkdir()
    (other / "file").write_text("other\n")
    build(engine, "--build-context", f"other={other}", str(folder))
    seen = "cat /seen /names /changed /of_file /owner /of_stage /of_other; cut -d, -f1-3 /tmpfs"
    assert look(engine, seen) == [
        "a", "Dockerfile", "in", "changed", "a", "more", "3:4", "x", "other", "tmpfs /t tmpfs rw,nosuid,nodev",
    ]  # fmt: skip
    assert look(engine, "ls -d /src /w/rel /one /from /all /o /t 2>/dev/null; ls -A /w; true") == []
    assert (folder / "in" / "a").read_text() == "a\n"
    again = build(engine, "--build-context", f"other={other}", str(folder))
    assert again.count("Using cache") == 9
    (folder / "in" / "a").write_text("b\n")
    again = build(engine, "--build-context", f"other={other}", str(folder))
    assert again.count("Using cache") == 2


def test_caches_are_kept_between_builds(engine: Engine) -> None:
    text = """FROM busybox AS first
RUN mkdir /f && echo first > /f/one
FROM busybox
ARG run
RUN --mount=type=cache,target=/c,id=mine,uid=7,gid=8,mode=0750 stat -c %u:%g:%a /c > /is; echo $run >> /c/log; cat /c/log > /log
RUN --mount=type=cache,target=/f,from=first,source=f,sharing=locked cat /f/one > /one; echo $run > /f/one
RUN --mount=type=cache,target=/p,sharing=private echo $run >> /p/log; cat /p/log > /private
"""
    folder = make_context(engine, text, {})
    build(engine, "--build-arg", "run=1", str(folder))
    assert look(engine, "cat /is /log /one /private") == ["7:8:750", "1", "first", "1"]
    build(engine, "--build-arg", "run=2", str(folder))
    assert look(engine, "cat /log /one /private") == ["1", "2", "1", "1", "2"]
    assert look(engine, "ls -d /c /f /p 2>/dev/null; true") == []
    assert len(list((engine.data_root / "build-mounts").iterdir())) == 3
    assert engine.rl("builder", "du").stdout.count("\n") > 3
    engine.rl("builder", "prune", "-f")
    build(engine, "--build-arg", "run=3", str(folder))
    assert look(engine, "cat /log /one /private") == ["3", "first", "3"]


def test_a_locked_cache_is_one_step_s_at_a_time(engine: Engine) -> None:
    text = (
        "FROM busybox\nARG who\nRUN --mount=type=cache,target=/c,sharing=locked "
        "test ! -e /c/busy && touch /c/busy && sleep 1 && rm /c/busy && echo $who > /x\n"
    )
    folder = make_context(engine, text, {})
    builds = [
        engine.start("build", "--network", "none", "--build-arg", f"who={who}", str(folder), stdout=subprocess.DEVNULL)
        for who in range(3)
    ]
    assert [one.wait(60) for one in builds] == [0, 0, 0]


def test_secrets_are_in_no_layer(engine: Engine) -> None:
    text = """FROM busybox
RUN --mount=type=secret,id=file cp /run/secrets/file /dev/null && stat -c %u:%g:%a /run/secrets/file > /is && ls -A /etc > /names
RUN --mount=type=secret,id=file,target=/etc/deep/token,uid=9,gid=8,mode=0444 stat -c %u:%g:%a /etc/deep/token >> /is
RUN --mount=type=secret,id=var,env=TOKEN test "$TOKEN" = of-variable-x && test ! -e /run/secrets/var && echo yes >> /is
RUN --mount=type=secret,id=none test ! -e /run/secrets/none
RUN --mount=type=secret,id=file test "$(cat /run/secrets/file)" = SECRET_HERE
""".replace("SECRET_HERE", '"$(printf s3cr3t-; echo never-in-a-layer)"')
    folder = make_context(engine, text, {})
    path = engine.folder / "secret"
    path.write_text(_SECRET)
    given = ("--secret", f"id=file,src={path}", "--secret", "id=var,env=MY_TOKEN")
    build(engine, *given, str(folder), env={"MY_TOKEN": "of-variable-x"})
    assert look(engine, "cat /is; ls -d /run/secrets /etc/deep 2>/dev/null; true") == ["0:0:400", "9:8:444", "yes"]
    path.unlink()
    for needle in (_SECRET, "of-variable-x"):
        found = subprocess.run(["grep", "-rlF", needle, engine.data_root], capture_output=True, text=True, check=False)
        blobs = [path.read_bytes() for path in (engine.data_root / "images/blobs/sha256").iterdir()]
        layers = [gzip.decompress(blob) for blob in blobs if blob.startswith(b"\x1f\x8b")]
        in_layers = [layer for layer in layers if needle.encode() in layer]
        # The second is in the instruction, and so in the history, but in no layer.
        assert (in_layers, found.stdout == "") == ([], needle == _SECRET)
    make_context(engine, "FROM busybox\nRUN --mount=type=secret,id=must,required=true true\n", {})
    assert "secret must: not found" in engine.rl("build", str(folder), check=1).stderr


@pytest.fixture
def agent(engine: Engine) -> Iterator[str]:
    """A socket of the user's that answers every line with it doubled."""
    path = str(engine.folder / "agent")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chown(path, USER.pw_uid, USER.pw_gid)
    listener.listen()

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(connection.recv(100).strip() * 2 + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield path
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_the_ssh_agent_is_forwarded(engine: Engine, agent: str) -> None:
    text = """FROM busybox
RUN --mount=type=ssh stat -c %u:%g:%a $SSH_AUTH_SOCK > /is && echo $SSH_AUTH_SOCK >> /is && test -S $SSH_AUTH_SOCK
RUN --mount=type=cache,target=/c --mount=type=ssh,id=two,target=/x/s,uid=5,gid=6,mode=0660 stat -c %u:%g:%a /x/s >> /is; \\
    until test -e /c/go; do sleep 0.1; done
RUN --mount=type=ssh,id=none test -z "$SSH_AUTH_SOCK"
"""
    folder = make_context(engine, text, {})
    given = ("--network", "none", "-t", "app", "--ssh", "default", "--ssh", f"two={agent}", str(folder))
    step = engine.start("build", *given, env={"SSH_AUTH_SOCK": agent}, stdout=subprocess.PIPE)
    assert step.stdout is not None
    while "STEP 3/4" not in step.stdout.readline():
        assert step.poll() is None
    # The container sees this socket; a busybox cannot speak to it.
    wait_until(lambda: list(engine.runtime_dir.glob("build-ssh-*.sock")), 20, "the socket is there")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(next(iter(engine.runtime_dir.glob("build-ssh-*.sock")))))
        client.sendall(b"ab\n")
        assert client.recv(100) == b"abab\n"
    wait_until(lambda: list(engine.data_root.glob("build-mounts/*/d")), 20, "the cache is there")
    (next(iter(engine.data_root.glob("build-mounts/*/d"))) / "go").touch()
    assert step.wait(30) == 0
    step.stdout.close()
    assert look(engine, "cat /is; ls -d /run/buildkit /x 2>/dev/null; true") == [
        "0:0:600", "/run/buildkit/ssh_agent.0", "5:6:660",
    ]  # fmt: skip
    assert "invalid empty ssh agent socket" in engine.rl("build", "--ssh", "default", str(folder), check=1).stderr
    make_context(engine, "FROM busybox\nRUN --mount=type=ssh,required true\n", {})
    assert "unset ssh forward key default" in engine.rl("build", str(folder), check=1).stderr
    assert [path.name for path in engine.runtime_dir.glob("build-*")] == []


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="needs OpenSSH's client")
def test_keys_get_an_agent(engine: Engine) -> None:
    key = engine.folder / "home" / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, **drop_privileges())
    folder = make_context(engine, "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && touch /ok\n", {})
    build(engine, "--ssh", f"default={key}", str(folder))
    assert look(engine, "ls /ok") == ["/ok"]
    wait_until(lambda: not any("ssh-agent" in line for _pid, line in engine.processes()), 10, "the agent has ended")


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("type=bnd,target=/x", 'unsupported mount type "bnd" (did you mean bind?)'),
        ("type=bind,tagret=/x", "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"),
        ("type=cache", "a mount of type cache needs a target"),
        ("type=cache,target=/x,sharing=share", 'unsupported sharing value "share" (did you mean shared?)'),
        ("type=tmpfs,target=/x,uid=3", "unexpected key 'uid' for mount type 'tmpfs'"),
        ("type=bind,source=none,target=/x", "not found"),
        ("type=bind,source=../../etc,target=/x", "not found"),
        ("type=bind,source=out,target=/x", "not found"),
        ("type=bind,target=/", "destination can't be '/'"),
        ("type=bind,from=$NONE,target=/x,mode=9", "unexpected key 'mode'"),
        ("type=secret,id=x,mode=9", "invalid value 9 for mode"),
    ],
)
def test_what_is_wrong_in_a_mount_is_said(engine: Engine, mount: str, message: str) -> None:
    folder = make_context(engine, f"FROM busybox\nRUN --mount={mount} true\n", {})
    Path(folder / "out").symlink_to("/etc/hostname")
    failed = engine.rl("build", str(folder), check=1).stderr
    assert message in failed
    assert "   2 | >>> RUN --mount=" in failed


def test_contexts_by_name_go_before_stages_and_images(engine: Engine) -> None:
    folder = make_context(engine, "FROM base AS one\nCOPY --from=files x /y\nCOPY --from=pic /bin/busybox /z\nFROM one\n", {})
    other = make_context(engine, "FROM x", {"other/x": "1", "other/skipped": "", "other/.dockerignore": "skipped"}) / "other"
    make_context(engine, (folder / "Dockerfile").read_text(), {})
    (folder / "Dockerfile").write_text("FROM base AS one\nCOPY --from=files . /y\nCOPY --from=pic /bin/busybox /z\nFROM one\n")
    given = ["base=docker-image://busybox", f"files={other}", "pic=docker-image://busybox"]
    build(engine, *(word for one in given for word in ("--build-context", one)), str(folder))
    assert look(engine, "ls -A /y; ls /z") == [".dockerignore", "x", "/z"]
    assert "is a folder" in engine.rl("build", "--build-context", f"base={other}", str(folder), check=1).stderr
    assert "expected key=value" in engine.rl("build", "--build-context", "x", str(folder), check=1).stderr


def test_options_of_all_steps(engine: Engine) -> None:
    text = """FROM busybox
RUN grep 10.1.2.3 /etc/hosts | grep -c peer > /seen; ulimit -n >> /seen; df -k /dev/shm | grep -c 2048 >> /seen
RUN cat /v/file >> /seen
"""
    folder = make_context(engine, text, {})
    shared = engine.folder / "shared"
    shared.mkdir()
    (shared / "file").write_text("shared\n")
    given = ["--add-host", "peer:10.1.2.3", "--ulimit", "nofile=77:77", "--shm-size", "2m", "-v", f"{shared}:/v:ro"]
    build(engine, *given, str(folder))
    assert look(engine, "cat /seen; ls -d /v 2>/dev/null; true") == ["1", "77", "1", "shared"]
    assert build(engine, *given, str(folder)).count("Using cache") == 2
    assert "Using cache" not in build(engine, "--add-host", "peer:10.1.2.30", *given[2:], str(folder))
    assert "bad format" in engine.rl("build", "--add-host", "x", str(folder), check=1).stderr
