"""Names of containers: one holder each, whatever commands were killed at."""

import errno
import json
import os
from pathlib import Path

import pytest

from rootless.containers import documents
from rootless.containers.lock import ContainerLock
from rootless.containers.name_claims import NameClaims
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, InvalidInput
from rootless.locations import Locations

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    made = Locations(str(tmp_path / "d"), str(tmp_path / "r"))
    os.makedirs(made.containers)
    os.makedirs(made.names)
    return made


def make(locations: Locations, container_id: str, name: str | None) -> documents.Document:
    """Make a container's folder, and its record where it has a name."""
    folder = Path(locations.containers, container_id)
    folder.mkdir()
    document = {
        "Id": container_id, "Created": "", "Path": "true", "Args": [], "Image": "", "Name": f"/{name}", "Driver": "overlay",
        "State": {**documents.new_state()},
        "HostConfig": {"AutoRemove": False, "NetworkMode": "none"},
        "Config": {"Image": "", "Tty": False, "OpenStdin": False, "Env": []},
        "Rl": {"Node": "", "BootId": "", "RuntimeDir": "", "LayerKeys": [], "Mounts": [],
               "Monitor": None, "Init": None, "Entry": None},
    }  # fmt: skip
    if name is not None:
        (folder / documents.FILE).write_text(json.dumps(document))
    return document  # type: ignore[return-value]


def write(locations: Locations, document: documents.Document) -> None:
    documents.write(f"{locations.containers}/{document['Id']}", document)


def test_a_name_has_one_holder(locations: Locations) -> None:
    claims = NameClaims(locations)
    make(locations, ONE, "box")
    claims.claim("box", ONE)
    assert claims.holder_of("box") == ONE
    with pytest.raises(InUse, match=f"already in use by container {ONE}"):
        claims.claim("box", TWO)
    claims.release("box", TWO)  # not its own
    assert claims.holder_of("box") == ONE
    claims.release("box", ONE)
    assert claims.holder_of("box") is None
    claims.claim("box", TWO)


def test_one_that_is_being_made_has_its_name_until_its_maker_is_gone(locations: Locations) -> None:
    claims = NameClaims(locations)
    make(locations, ONE, None)
    lock = ContainerLock(f"{locations.containers}/{ONE}")
    assert lock.acquire()
    claims.claim("box", ONE)
    with pytest.raises(InUse):
        claims.claim("box", TWO)
    lock.release()
    claims.claim("box", TWO)
    assert os.readlink(f"{locations.names}/box") == TWO


@pytest.mark.parametrize("killed_after", ["claim", "record"])
def test_a_killed_rename_leaves_one_name(locations: Locations, killed_after: str) -> None:
    claims = NameClaims(locations)
    make(locations, ONE, "old" if killed_after == "claim" else "new")
    for name in ("old", "new"):
        os.symlink(ONE, f"{locations.names}/{name}")
    right, wrong = ("old", "new") if killed_after == "claim" else ("new", "old")
    assert claims.holder_of(right) == ONE
    assert claims.holder_of(wrong) is None
    assert os.listdir(locations.names) == [right]
    os.symlink(ONE, f"{locations.names}/{wrong}")
    claims.claim(wrong, TWO)  # at once, without a look before


def test_a_rename_takes_the_name_that_the_record_has_by_then(locations: Locations) -> None:
    claims, document = NameClaims(locations), make(locations, ONE, "aa")
    claims.claim("aa", ONE)
    for name in ("b", "c"):
        with pytest.raises(InvalidInput):  # too short
            claims.move(document, name, lambda: None)
        claims.move(document, name * 2, lambda: write(locations, document))
    assert os.listdir(locations.names) == ["cc"]
    assert documents.read(f"{locations.containers}/{ONE}")["Name"] == "/cc"


def test_a_rename_that_fails_changes_nothing(locations: Locations) -> None:
    claims, document = NameClaims(locations), make(locations, ONE, "old")
    make(locations, TWO, "taken")
    claims.claim("old", ONE)
    claims.claim("taken", TWO)

    def fail() -> None:
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(InUse):
        claims.move(document, "taken", fail)
    with pytest.raises(OSError, match="no space"):
        claims.move(document, "new", fail)
    assert (sorted(os.listdir(locations.names)), document["Name"]) == (["old", "taken"], "/old")


def test_a_removal_that_is_killed_half_way_leaves_no_container_without_its_name(
    locations: Locations, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, document = ContainerStore(locations), make(locations, ONE, "box")
    store.names.claim("box", ONE)

    def be_killed(_claims: NameClaims, _name: str, _container_id: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NameClaims, "release", be_killed)
    with pytest.raises(KeyboardInterrupt):
        store.remove_record(document)
    assert list(store.ids()) == []
    store.names.claim("box", TWO)


def test_of_many_who_find_what_a_killed_command_left_one_gets_the_name(locations: Locations) -> None:
    """Between the look at a stale link and its removal, another may have claimed the name: that claim must stay."""
    for turn in range(20):
        os.symlink("f" * 64, f"{locations.names}/box{turn}")
        pids = []
        for number in range(4):
            container_id = f"{turn:02}{number}".ljust(64, "0")
            make(locations, container_id, f"box{turn}")
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    NameClaims(locations).claim(f"box{turn}", container_id)
                    status = 0
                finally:
                    os._exit(status)
            pids.append(pid)
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        assert statuses.count(0) == 1, statuses
        winner = f"{turn:02}{statuses.index(0)}".ljust(64, "0")
        assert os.readlink(f"{locations.names}/box{turn}") == winner


def test_a_lost_folder_of_names_is_made_again(locations: Locations) -> None:
    claims = NameClaims(locations)
    make(locations, ONE, "one")
    make(locations, TWO, None)
    os.rmdir(locations.names)
    assert claims.holder_of("one") == ONE
    assert os.listdir(locations.names) == ["one"]
