import os
from typing import Any

import pytest

from cli.container_filters import Filters
from cli.container_rows import COLUMNS, ContainerRow, status_text
from rootless.containers import documents
from rootless.errors import InvalidInput, NoSuchObject

NOW = 1_700_000_000.0
ID = "0123456789abcdef" * 4


def document(**changes: Any) -> Any:
    made: dict[str, Any] = {
        "Id": ID,
        "Created": "2023-11-14T22:11:20Z",
        "Path": "sh",
        "Args": ["-c", "echo hello; sleep 100"],
        "Image": "sha256:" + "f" * 64,
        "Name": "/one",
        "State": documents.new_state(),
        "Mounts": [],
        "HostConfig": {"NetworkMode": "slirp"},
        "Config": {"Image": "busybox", "Labels": {"a": "1", "b": ""}},
        "NetworkSettings": {"Ports": {}},
        "Rl": {"Node": ""},
    }
    made.update(changes)
    return made


def state(**changes: Any) -> Any:
    return {**documents.new_state(), **changes}


def test_the_default_columns() -> None:
    row = ContainerRow(document(), NOW, truncate=True)
    assert [row[name] for name in COLUMNS] == [
        "0123456789ab", "busybox", '"sh -c \'echo hello; …"', "2 minutes ago", "Created", "", "one",
    ]  # fmt: skip
    whole = ContainerRow(document(), NOW, truncate=False)
    assert whole["ID"] == ID
    assert whole["Command"] == "\"sh -c 'echo hello; sleep 100'\""
    assert row["Label"]("a") == "1"
    assert row["Label"]("none") == ""
    assert row["Labels"] == "a=1,b="
    assert "Label" not in dict(row)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Created"),
        ({"Status": "running", "Running": True, "StartedAt": "2023-11-14T22:12:19Z"}, "Up About a minute"),
        ({"Status": "paused", "Running": True, "Paused": True, "StartedAt": "2023-11-14T22:13:18Z"}, "Up 2 seconds (Paused)"),
        ({"Status": "exited", "ExitCode": 137, "FinishedAt": "2023-11-14T19:13:20Z"}, "Exited (137) 3 hours ago"),
    ],
)
def test_status(changes: dict[str, Any], text: str) -> None:
    assert status_text(document(State=state(**changes)), NOW) == text


def test_a_container_of_another_node() -> None:
    running = state(Status="running", Running=True, StartedAt="2023-11-14T22:13:10Z")
    assert status_text(document(State=running, Rl={"Node": "elsewhere"}), NOW) == "Up 10 seconds, running on elsewhere"
    assert status_text(document(State=running, Rl={"Node": os.uname().nodename}), NOW) == "Up 10 seconds"


def test_an_image_that_is_only_an_id_is_cut() -> None:
    row = ContainerRow(document(Config={"Image": "sha256:" + "ab" * 32}), NOW, truncate=True)
    assert row["Image"] == "ab" * 6


def names(filters: list[str]) -> list[str]:
    one = document()
    two = document(
        Id="f" * 64,
        Name="/two",
        Created="2023-11-14T22:12:00Z",
        State=state(Status="exited", ExitCode=3),
        Config={"Image": "debian:12"},
    )
    return [found["Name"][1:] for found in Filters(filters).apply([two, one])]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["two", "one"]),
        (["name=tw"], ["two"]),
        (["name=^o.e$"], ["one"]),
        (["name=one", "name=two"], ["two", "one"]),
        (["id=0123"], ["one"]),
        (["id=123"], []),
        (["status=exited"], ["two"]),
        (["status=exited", "name=one"], []),
        (["exited=3"], ["two"]),
        (["label=a"], ["one"]),
        (["label=a=2"], []),
        (["label=a", "label=c"], []),
        (["ancestor=debian"], ["two"]),
        (["ancestor=ffff"], ["two", "one"]),
        (["network=slirp"], ["two", "one"]),
        (["before=two"], ["one"]),
        (["since=one"], ["two"]),
    ],
)
def test_filters(filters: list[str], expected: list[str]) -> None:
    assert names(filters) == expected


@pytest.mark.parametrize("text", ["name", "colour=red", "status=tired", "name=[", "="])
def test_invalid_filters(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid"):
        names([text])


def test_before_nothing() -> None:
    with pytest.raises(NoSuchObject, match="No such container: nobody"):
        names(["before=nobody"])
