"""Secrets: what is kept where, what a container gets, and where it must never be found."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine, check_and_remove, copy_store, make_folder

NONE = ("--network", "none")
VALUE = "xyzzy-0123456789"


@pytest.fixture(scope="module")
def engine(busybox_store: Path) -> Iterator[Engine]:
    """One engine for all tests here, which use names of their own."""
    made = Engine(make_folder())
    copy_store(busybox_store, made.data_root)
    yield made
    check_and_remove(made)


def files_with_value(engine: Engine) -> list[str]:
    """Return the files of the data root that have the value in them, the store's own but for it."""
    found = subprocess.run(["grep", "-rlaF", VALUE, engine.data_root], capture_output=True, text=True, check=False).stdout.split()
    return sorted(path.removeprefix(f"{engine.data_root}/") for path in found)


def test_create_list_inspect_and_remove(engine: Engine) -> None:
    made = engine.rl("secret", "create", "--label", "a=b", "first", "-", stdin=VALUE).stdout.strip()
    assert len(made) == 25
    source = engine.folder / "home/source"
    source.write_text("other")
    engine.rl("secret", "create", "second", str(source))
    engine.rl("secret", "create", "--env", "third", "GIVEN", env={"GIVEN": "from here"})
    lines = engine.rl("secret", "ls").stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "DRIVER", "CREATED", "UPDATED"]
    assert [line.split()[1] for line in lines[1:]] == ["first", "second", "third"]
    assert engine.rl("secret", "ls", "-q", "-f", "name=^first").stdout.strip() == made
    assert engine.rl("secret", "ls", "--format", "{{.Name}}", "-f", "label=a").stdout == "first\n"
    (document,) = json.loads(engine.rl("secret", "inspect", made[:10]).stdout)
    assert document["Spec"] == {"Name": "first", "Driver": {"Name": "file", "Options": {}}, "Labels": {"a": "b"}}
    assert VALUE not in json.dumps(document)
    assert engine.rl("secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "first").stdout == f"{VALUE}\n"
    assert engine.rl("secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "third").stdout == "from here\n"
    folder = engine.data_root / "secrets"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / "first", folder / "first/secret.json")] == [
        "0o700"
    ] * 2 + ["0o600"]
    assert "secret name in use" in engine.rl("secret", "create", "first", "-", stdin="new", check=1).stderr
    engine.rl("secret", "create", "--replace", "first", "-", stdin="new")
    assert engine.rl("secret", "inspect", "--showsecret", "--format", "{{.SecretData}}", "first").stdout == "new\n"
    engine.rl("secret", "exists", "first")
    engine.rl("secret", "rm", "first", "second", "third")
    engine.rl("secret", "exists", "first", check=1)
    assert "No such secret: first" in engine.rl("secret", "rm", "first", check=1).stderr
    assert engine.rl("secret", "rm", "--ignore", "first").stdout == ""
    assert list(folder.iterdir()) == []


def test_what_is_refused(engine: Engine) -> None:
    for arguments, text in (
        (["secret", "create", "-d", "pass", "one", "-"], "there is no secret driver 'pass'"),
        (["secret", "create", "a/b", "-"], "invalid secret name"),
        (["secret", "create", "one", "-"], "must be larger than 0"),
        (["secret", "create", "--env", "one", "NOSUCH"], "cannot find environment variable NOSUCH"),
        (["run", *NONE, "--secret", "nosuch", "busybox", "true"], "No such secret: nosuch"),
        (["run", *NONE, "--secret", "x,odd=1", "busybox", "true"], "invalid option 'odd=1'"),
    ):
        assert text in engine.rl(*arguments, check=125 if arguments[0] == "run" else 1).stderr
    large = engine.folder / "home/large"
    large.write_bytes(bytes(600_000))
    assert "less than 512000 bytes" in engine.rl("secret", "create", "one", str(large), check=1).stderr
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_secret_as_a_file_is_in_memory_only(engine: Engine) -> None:
    engine.rl("secret", "create", "file", "-", stdin=VALUE)
    assert files_with_value(engine) == []  # even the store has it encoded
    options = ["--secret", "file", "--secret", "file,target=mine,uid=5,gid=6,mode=0400", "--secret", "file,target=/etc/key"]
    script = (
        "cat /run/secrets/file /run/secrets/mine /etc/key; stat -c %u:%g:%a /run/secrets/*; stat -f -c %T /run/secrets; sleep 100"
    )
    engine.rl("run", "-d", "--name", "file", *NONE, *options, "busybox", "sh", "-c", script)
    engine.rl("exec", "file", "sh", "-c", "until [ -e /run/secrets/mine ]; do sleep 0.1; done; touch /run/secrets/x", check=1)
    container_id = os.readlink(engine.data_root / "names/file")
    # Its own copy, closed to all but the engine; and the log of what it wrote itself.
    copies = [f"containers/{container_id}/secrets/{number}" for number in range(3)]
    assert [path for path in files_with_value(engine) if not path.endswith("-json.log")] == copies
    assert (engine.data_root / f"containers/{container_id}/secrets/0").stat().st_mode & 0o777 == 0o600
    assert VALUE not in engine.rl("inspect", "file").stdout
    assert (
        VALUE.encode()
        not in subprocess.run(["tar", "-xOf", "-"], input=exported(engine, "file"), capture_output=True, check=True).stdout
    )
    engine.rl("secret", "rm", "file")
    engine.rl("rm", "-f", "file")


def exported(engine: Engine, name: str) -> bytes:
    target = engine.folder / "home/export.tar"
    engine.rl("export", "-o", str(target), name)
    return target.read_bytes()


def test_a_container_keeps_what_it_was_made_with(engine: Engine) -> None:
    engine.rl("secret", "create", "kept", "-", stdin="old")
    script = 'cat /run/secrets/kept; echo " $KEPT"; stat -c %u:%g:%a /run/secrets/mode; stat -f -c %T /run/secrets/kept'
    options = ["--secret", "kept", "--secret", "kept,type=env,target=KEPT", "--secret", "kept,target=mode,uid=5,gid=6,mode=0400"]
    engine.rl("run", "--name", "kept", *NONE, *options, "busybox", "sh", "-c", script)
    engine.rl("secret", "create", "--replace", "kept", "-", stdin="new")
    engine.rl("secret", "rm", "kept")
    engine.rl("start", "-a", "kept")
    assert engine.rl("logs", "kept").stdout == "old old\n5:6:400\ntmpfs\n" * 2


def test_a_secret_in_the_environment(engine: Engine) -> None:
    engine.rl("secret", "create", "env", "-", stdin=VALUE)
    engine.rl("run", "-d", "--name", "env", *NONE, "--secret", "env,type=env,target=KEY", "busybox", "sleep", "100")
    assert engine.rl("exec", "env", "sh", "-c", "echo $KEY").stdout == f"{VALUE}\n"
    assert f"KEY={VALUE}" in engine.rl("exec", "env", "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ").stdout.split()
    container_id = os.readlink(engine.data_root / "names/env")
    assert files_with_value(engine) == [f"containers/{container_id}/secrets/0"]
    assert VALUE not in engine.rl("inspect", "env").stdout
    engine.rl("rm", "-f", "env")
    assert files_with_value(engine) == []
