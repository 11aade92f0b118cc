"""Removing at the same time as pulls and runs: neither loses what it counts on, and nothing is left over."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rootless.images import additions
from rootless.images.remove import remove
from rootless.images.store import ImageStore
from rootless.images.sweep import sweep
from tests.integration.images.conftest import Place
from tests.integration.images.test_remove import add, left
from tests.support.registries import Registry
from tests.support.tars import file, make
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

PULLS = 5
BUSYBOX = shutil.which("busybox", path="/bin:/usr/bin")


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something again and again in a thread; raise at the end what it raised."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def loop() -> None:
        try:
            while not ended.is_set():
                action()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]


def removing(place: Place, name: str) -> Callable[[], None]:
    def action() -> None:
        for arguments in (["rmi", "-f", name], ["image", "prune", "-af"], ["system", "prune", "-f"]):
            done = place.rl(*arguments)
            assert done.returncode == 0, done.stderr

    return action


def test_pulls_succeed_while_others_remove_the_image(place: Place, registry: Registry) -> None:
    layers = [make([file(f"file-{number}", os.urandom(300_000), uid=5)]) for number in range(4)]
    registry.push("collected:1", layers)
    name = f"{registry.host}/collected:1"
    command = [sys.executable, "-m", "cli", "pull", "-q", name]
    options = {"env": place.environ, "cwd": "/", "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **drop_privileges()}
    with meanwhile(removing(place, name)):
        for _ in range(PULLS):
            pulls = [subprocess.Popen(command, **options) for _ in range(2)]
            for pull in pulls:
                said = pull.communicate(timeout=60)
                assert pull.returncode == 0, said
    assert place.rl("pull", "-q", name).returncode == 0
    place.run(ImageStore(place.locations).get, name)
    assert left(place) == (6, 4, 0)
    assert place.rl("system", "check").returncode == 0
    assert place.rl("rmi", name).returncode == 0
    assert left(place) == (0, 0, 0)


@pytest.mark.skipif(BUSYBOX is None, reason="needs Debian's busybox-static")
def test_runs_see_the_whole_image_or_none(place: Place) -> None:
    make_image = [sys.executable, "-m", "rootless.images.busybox", str(BUSYBOX)]
    options = {"env": place.environ, "cwd": "/", "stdout": subprocess.DEVNULL, **drop_privileges()}
    subprocess.run(make_image, check=True, **options)
    assert place.rl("run", "--rm", "--network", "none", "busybox", "true").returncode == 0

    def remove_and_make() -> None:
        assert place.rl("rmi", "-f", "busybox").returncode == 0
        subprocess.run(make_image, check=True, **options)

    outcomes = []
    with meanwhile(remove_and_make):
        for _ in range(12):
            done = place.rl("run", "--rm", "--network", "none", "busybox", "echo", "fine")
            outcomes.append((done.returncode, done.stdout, done.stderr))
    for status, out, err in outcomes:
        # Not there, and docker.io cannot be reached; or removed between the look and the start.
        assert (status, out) == (0, b"fine\n") or (status == 125 and b"busybox" in err), (status, out, err)
    assert any(status == 0 for status, _, _ in outcomes)
    assert place.rl("ps", "-aq").stdout == b""


def test_what_is_removed_while_somebody_adds_goes_when_that_ends(place: Place) -> None:
    image = add(place, "a")

    def use() -> tuple[str, ...]:
        with additions.adding(place.locations):
            gone = remove(place.locations, "a", lambda _id: [])
            assert left(place) == (3, 1, 0)
        return gone.deleted

    assert place.run(use) == (image.id, *image.layer_keys)
    assert left(place) == (0, 0, 0)


def test_what_was_put_off_and_is_used_again_stays(place: Place) -> None:
    image = add(place, "a")

    def use() -> None:
        with additions.adding(place.locations):
            remove(place.locations, "a", lambda _id: [])
            add(place, "again")
        assert ImageStore(place.locations).get("again").id == image.id

    place.run(use)
    assert left(place) == (3, 1, 0)


def test_a_sweep_takes_old_garbage_and_keeps_what_containers_hold(place: Place) -> None:
    image, other = add(place, "a"), add(place, "b", "other content")
    far = 4e9  # seconds: all that is there is old then

    def use() -> int:
        layout = ImageStore(place.locations).layout
        with layout.locked():
            layout.replace_descriptors([])
        assert sweep(place.locations, list).size == 0  # too young
        return sweep(place.locations, lambda: image.layer_keys, far).size

    assert place.run(use) > 0
    assert left(place) == (0, 1, 0)
    assert place.run(lambda: sweep(place.locations, list, far).layer_keys) == image.layer_keys
    assert left(place) == (0, 0, 0)
    assert other.layer_keys != image.layer_keys


def test_what_was_put_off_and_a_container_holds_stays(place: Place) -> None:
    image = add(place, "a")
    record = json.dumps({"Rl": {"LayerKeys": image.layer_keys}})

    def use() -> None:
        with additions.adding(place.locations):
            remove(place.locations, "a", lambda _id: [])
            os.makedirs(f"{place.locations.containers}/{'c' * 64}")
            with open(f"{place.locations.containers}/{'c' * 64}/container.json", "w") as file:
                file.write(record)

    place.run(use)
    assert left(place) == (0, 1, 0)
