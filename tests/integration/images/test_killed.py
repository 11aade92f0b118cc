"""A pull that is killed at any moment leaves nothing that the next one minds."""

import gzip
import os
import random
import signal
import subprocess
import sys

import pytest

from rootless.images.store import ImageStore, layer_folders
from tests.integration.images.conftest import Place
from tests.support.registries import Registry
from tests.support.tars import file, folder, make
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine


def layer(number: int) -> bytes:
    members = [folder(f"l{number}", uid=number), *(file(f"l{number}/{one}", os.urandom(3000), uid=one) for one in range(300))]
    return gzip.compress(make(members), 1)


def test_killed_pulls_are_finished_by_the_next(place: Place, registry: Registry) -> None:
    registry.push("killed:1", [layer(number) for number in range(5)])
    command = [sys.executable, "-m", "cli", "pull", "-q", f"{registry.host}/killed:1"]
    for _ in range(8):
        process = subprocess.Popen(command, cwd="/", env=place.environ, **drop_privileges())
        try:
            process.wait(random.uniform(0.15, 0.7))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert place.rl("pull", "-q", f"{registry.host}/killed:1").returncode == 0
    image = place.run(ImageStore(place.locations).get, f"{registry.host}/killed:1")
    trees = place.run(layer_folders, place.locations, image)
    assert [len(os.listdir(f"{tree}/{name}")) for tree in trees for name in os.listdir(tree)] == [300] * 5
    place.rl("pull", "-q", f"{registry.host}/killed:1")
    assert not [name for name in os.listdir(place.locations.layers) if name.startswith("tmp-")]
    assert os.listdir(f"{place.locations.images}/partial") == []


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
