"""`rl volume` and what else knows of volumes: Docker's options, columns, JSON and refusals."""

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.engine import Engine

NONE = ("--network", "none")


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("volume", "inspect", name).stdout)
    assert isinstance(document, dict)
    return document


def test_create_list_inspect_and_remove(engine: Engine) -> None:
    assert engine.rl("volume", "create", "--label", "a=b", "--label", "empty", "one").stdout == "one\n"
    assert engine.rl("volume", "create", "one").stdout == "one\n"  # as in Docker, no failure
    anonymous = engine.rl("volume", "create").stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{64}", anonymous)
    lines = engine.rl("volume", "ls").stdout.splitlines()
    assert lines[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert [line.split() for line in lines[1:]] == sorted([["local", anonymous], ["local", "one"]])
    document = inspected(engine, "one")
    assert list(document) == ["CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"]
    assert document["Labels"] == {"a": "b", "empty": ""}
    assert document["Options"] is None
    assert document["Mountpoint"] == f"{engine.data_root}/volumes/one/_data"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["CreatedAt"])
    assert inspected(engine, anonymous)["Labels"] == {"com.docker.volume.anonymous": ""}
    assert engine.rl("inspect", "--format", "{{.Name}} {{.Scope}}", "one").stdout == "one local\n"
    form = '{{.Name}}:{{.Driver}}:{{.Label "a"}}'
    assert engine.rl("volume", "ls", "--format", form, "-f", "label=a=b").stdout == "one:local:b\n"
    assert engine.rl("volume", "ls", "-q", "-f", "name=^on").stdout == "one\n"
    assert engine.rl("volume", "ls", "-q", "-f", "driver=other").stdout == ""
    engine.rl("volume", "exists", "one")
    assert engine.rl("volume", "rm", "one", anonymous).stdout.split() == ["one", anonymous]
    engine.rl("volume", "exists", "one", check=1)
    missing = engine.rl("volume", "rm", "one", check=1)
    assert "No such volume: one" in missing.stderr
    engine.rl("volume", "rm", "-f", "one")
    assert engine.rl("volume", "inspect", "one", check=1).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["create", "a/b"], "includes invalid characters for a local volume name"),
        (["create", "x"], "volume name is too short"),
        (["create", "-d", "nfs", "vol"], "there is no volume driver 'nfs'"),
        (["create", "-o", "type=nfs", "-o", "o=addr=1.2.3.4", "-o", "device=:/x", "vol"], "cannot be mounted by a user"),
        (["create", "-o", "type=none", "-o", "device=/x", "vol"], "must be a bind"),
        (["create", "-o", "type=none", "-o", "o=bind", "-o", "device=x", "vol"], "absolute path"),
        (["create", "-o", "type=tmpfs", "-o", "o=size=1m", "vol"], 'missing required option: "device"'),
        (["create", "-o", "size=1g", "vol"], "project quotas"),
        (["create", "-o", "other=1", "vol"], 'invalid option: "other"'),
        (["ls", "-f", "nonsense=1"], "invalid filter 'nonsense'"),
        (["ls", "-f", "dangling=maybe"], "invalid filter 'dangling=maybe'"),
        (["rm"], "give the names of volumes"),
    ],
)
def test_what_is_malformed_is_refused(engine: Engine, arguments: list[str], text: str) -> None:
    assert text in engine.rl("volume", *arguments, check=1).stderr
    assert engine.rl("volume", "ls", "-q").stdout == ""


def test_other_options_of_one_that_exists_are_refused(engine: Engine) -> None:
    engine.rl("volume", "create", "one")
    options = ["-o", "type=tmpfs", "-o", "device=tmpfs"]
    assert "exists, with other options" in engine.rl("volume", "create", *options, "one", check=1).stderr
    engine.rl("volume", "create", "--ignore", *options, "one")
    assert inspected(engine, "one")["Options"] is None


def test_prune_and_disk_usage(engine: Engine) -> None:
    engine.rl("volume", "create", "--label", "keep", "named")
    anonymous = engine.rl("volume", "create").stdout.strip()
    (engine.data_root / "volumes" / anonymous / "_data" / "file").write_bytes(b"x" * 1000)
    row = json.loads(engine.rl("system", "df", "--format", "json").stdout.splitlines()[2])
    assert (row["Type"], row["TotalCount"], row["Active"], row["Size"]) == ("Local Volumes", "2", "0", "1kB")
    assert re.search(rf"{anonymous} +0 +1kB", engine.rl("system", "df", "-v").stdout)
    asked = engine.rl("volume", "prune", stdin="n\n", check=1)
    assert "all anonymous volumes not used by at least one container" in asked.stdout
    pruned = engine.rl("volume", "prune", "-f").stdout
    assert pruned == f"Deleted Volumes:\n{anonymous}\n\nTotal reclaimed space: 1kB\n"
    assert engine.rl("volume", "prune", "-f", "-a", "--filter", "label!=keep").stdout == "Total reclaimed space: 0B\n"
    assert "named" in engine.rl("volume", "prune", "-f", "--filter", "all=true").stdout
    again = engine.rl("volume", "create").stdout.strip()
    assert again in engine.rl("system", "prune", "-f", "--volumes").stdout
    assert engine.rl("volume", "ls", "-q").stdout == ""


def test_a_damaged_record_is_told_of_and_can_be_removed(engine: Engine) -> None:
    engine.rl("volume", "create", "bad")
    engine.rl("volume", "create", "good")
    (engine.data_root / "volumes/bad/volume.json").write_text("{")
    listed = engine.rl("volume", "ls", "-q")
    assert listed.stdout == "good\n"
    assert "the record of volume bad is damaged" in listed.stderr
    engine.rl("volume", "rm", "bad")


def test_many_make_and_remove_the_same_volume(engine: Engine) -> None:
    commands = [["create", "one"], ["rm", "-f", "one"]] * 8
    started = [engine.start("volume", *command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(60) for process in started] == [0] * 16
    engine.rl("volume", "create", "one")
    assert engine.rl("volume", "ls", "-q").stdout == "one\n"
    assert [path.name for path in (engine.data_root / "volumes").iterdir()] == ["one"]
