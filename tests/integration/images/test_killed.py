"""A pull that is killed at any moment leaves nothing that the next one minds, and nothing that `rl system check` finds wrong."""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.images import layers
from rootless.images.check import check
from rootless.images.pull import pull
from rootless.images.remove import remove
from rootless.images.store import Image
from rootless.images.unpack_image import read_record
from tests.integration.images.conftest import Place
from tests.support.engine import wait_until
from tests.support.registries import Registry, build_image, digest_of
from tests.support.scripted_registry import Request, ScriptedRegistry, whole
from tests.support.tars import file, folder, make
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

KILLS = 20
EARLIEST, LATEST = 0.1, 0.7  # seconds after the start: imports take 0.3, the whole pull 0.7


def layer(number: int) -> bytes:
    members = [folder(f"l{number}", uid=number), *(file(f"l{number}/{one}", os.urandom(3000), uid=one) for one in range(300))]
    return gzip.compress(make(members), 1)


def pulled(place: Place, name: str) -> Image:
    image: Image = place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc))
    return image


def records_of(place: Place, image: Image) -> list[tuple[str, int]]:
    """Return each layer's key and the checksum of what it holds."""
    folders = [layers.folder_of(place.locations, key) for key in image.layer_keys]
    return [(record["key"], record["filesCRC32"]) for record in map(read_record, folders)]


def killed_pull(place: Place, name: str, seconds: float, *, with_worker: bool) -> None:
    command = [sys.executable, "-m", "cli", "pull", "-q", name]
    process = subprocess.Popen(command, cwd="/", env=place.environ, start_new_session=True, **drop_privileges())
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        if with_worker:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        # Its worker notices that it is alone when it writes next; until then what it unpacks is its own.
        wait_until(lambda: not _is_in_session(process.pid), what="the worker has ended")


def _is_in_session(session: int) -> bool:
    """Tell whether a process of a session lives."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            return True
    return False


def test_killed_pulls_are_finished_by_the_next(place: Place, registry: Registry) -> None:
    registry.push("killed:1", [layer(number) for number in range(5)])
    name = f"{registry.host}/killed:1"
    right = records_of(place, pulled(place, name))
    moments = [random.uniform(EARLIEST, LATEST) for _ in range(KILLS)]
    for number, seconds in enumerate(moments):
        place.run(remove, place.locations, name, lambda _id: [])
        killed_pull(place, name, seconds, with_worker=number % 2 == 0)
        told = f"killed after {seconds:.3f} s"
        assert place.run(check, place.locations, list).problems == [], told
        assert records_of(place, pulled(place, name)) == right, told
        report = place.run(check, place.locations, list)
        assert (report.problems, report.notes) == ([], []), told
    assert not [one for one in os.listdir(place.locations.layers) if one.startswith("tmp-")]
    assert os.listdir(f"{place.locations.images}/partial") == []


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as running:
        yield running


def test_a_later_process_goes_on_at_the_byte_where_a_killed_one_stopped(place: Place, server: ScriptedRegistry) -> None:
    content = gzip.compress(make([file("data", os.urandom(400_000))]), 1)
    image, digest = build_image([content]), digest_of(content)
    server.serve(image)

    def stalls(request: Request) -> None:
        request.answer(200, content[:150_000], length=len(content))
        request.wfile.flush()
        time.sleep(5)

    server.blob(digest, stalls)
    partial = f"{place.locations.images}/partial/{digest.replace(':', '-')}"
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "pull", "-q", f"{server.host}/app"], cwd="/", env=place.environ, **drop_privileges()
    )
    try:
        deadline = time.monotonic() + 10
        while not (os.path.exists(partial) and os.path.getsize(partial) == 150_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    server.blob(digest, whole(content))
    result = place.rl("pull", "-q", f"{server.host}/app")
    assert result.returncode == 0, result
    assert [headers.get("range") for headers in server.asked(digest)] == [None, "bytes=150000-"]
    assert place.run(check, place.locations, list).problems == []


def test_an_interrupted_pull_says_nothing_more(place: Place, registry: Registry) -> None:
    registry.push("interrupted:1", [layer(1)])
    command = [sys.executable, "-m", "cli", "pull", f"{registry.host}/interrupted:1"]
    process = subprocess.Popen(
        command,
        cwd="/",
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **drop_privileges(),
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=10)[1]
    assert (process.returncode, error.strip()) == (130, b"")
