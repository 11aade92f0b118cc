"""The log of events: many writers, rotation, what readers and followers see of it."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.event_filters import EventFilters
from cli.event_reader import EventReader
from rootless import events
from rootless.errors import InvalidInput
from rootless.locations import Locations


@pytest.fixture
def place(tmp_path: Path) -> Locations:
    return Locations(str(tmp_path / "data"), str(tmp_path / "run"))


def emit(place: Locations, number: int, max_bytes: int = events.MAX_BYTES) -> None:
    events.emit(place, "container", "start", f"{number}", {"name": f"c{number}"}, max_bytes=max_bytes)


def numbers(found: Iterator[dict[str, object]]) -> list[int]:
    return [int(one["Actor"]["ID"]) for one in found]  # type: ignore[index]


def test_what_is_emitted_is_read(place: Locations) -> None:
    emit(place, 1)
    reader = EventReader(events.folder_of(place), from_now=False)
    assert numbers(reader.present()) == [1]
    emit(place, 2)
    emit(place, 3)
    assert numbers(reader.present()) == [2, 3]
    reader.close()


def test_a_torn_line_is_skipped(place: Locations) -> None:
    emit(place, 1)
    with open(f"{events.folder_of(place)}/log", "a") as file:
        file.write('{"Type":"conta\n[]\n{"Actor":1}\n')
    emit(place, 2)
    assert numbers(EventReader(events.folder_of(place), from_now=False).present()) == [1, 2]


def test_processes_write_at_the_same_time_and_rotate(place: Locations) -> None:
    children = []
    for child in range(6):
        pid = os.fork()
        if pid == 0:
            for number in range(100):
                emit(place, child * 100 + number, 40_000)
            os._exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    found = numbers(EventReader(events.folder_of(place), from_now=False).present())
    assert sorted(found) == list(range(600))  # 60 KB: one rotation
    assert os.path.exists(f"{events.folder_of(place)}/log.1")


def test_a_reader_survives_two_rotations_between_looks(place: Locations) -> None:
    emit(place, 0, 1000)
    reader = EventReader(events.folder_of(place), from_now=False)
    assert numbers(reader.present()) == [0]
    for number in range(1, 22):
        emit(place, number, 1000)
    assert numbers(reader.present()) == list(range(1, 22))


def test_a_follower_gets_everything_once_and_ends_in_time(place: Locations) -> None:
    reader = EventReader(events.folder_of(place), from_now=True)

    def write() -> None:
        for number in range(300):
            emit(place, number, 5000)
            time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    found = numbers(reader.follow(time.time_ns() + 1_500_000_000))
    writer.join()
    assert found == list(range(300))


def test_a_folder_that_cannot_be_written_loses_events_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    emit(Locations(str(tmp_path / "data"), str(tmp_path)), 1)


def _event(kind: str, action: str, actor: str, **attributes: str) -> dict[str, object]:
    event: dict[str, object] = {"Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": attributes}, "timeNano": 1}
    return json.loads(json.dumps(event))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("texts", "passes"),
    [
        ([], True),
        (["container=web"], True),
        (["container=abc"], True),
        (["container=other", "container=web"], True),
        (["container=other"], False),
        (["event=exec_start"], True),
        (["event=start"], False),
        (["type=container", "image=app"], True),
        (["image=app:1"], True),
        (["image=ap"], False),
        (["type=image"], False),
        (["volume=web"], False),
        (["label=tier"], True),
        (["label=tier=front", "label=no"], False),
    ],
)
def test_filters(texts: list[str], passes: bool) -> None:
    event = _event("container", "exec_start: sh", "abcdef", name="web", image="app:1", tier="front")
    assert EventFilters(texts).passes(event) is passes


@pytest.mark.parametrize("text", ["container", "colour=red"])
def test_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        EventFilters([text])
