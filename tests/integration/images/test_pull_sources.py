"""Where a pull's bytes come from: each once although several pulls want it, and a mirror only as long as it lives."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rootless.errors import InvalidInput, NoSuchObject, RegistryError
from rootless.images.progress import NoProgress, Phase
from rootless.images.pull import pull, pull_all_tags
from rootless.images.store import Image
from rootless.registry.retry import Patience
from rootless.registry.search import search
from tests.integration.images.conftest import Place
from tests.support.registries import Registry, build_image, digest_of
from tests.support.scripted_registry import Request, ScriptedRegistry, whole
from tests.support.tars import file, folder, make
from tests.support.terminal import Terminal
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

LAYER = gzip.compress(make([folder("./"), file("data", os.urandom(400_000))]), 1)
IMAGE = build_image([LAYER])
PATIENCE = Patience(connect_seconds=2, read_seconds=2, document_seconds=2, first_pause=0.02)


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as running:
        running.serve(IMAGE)
        yield running


def test_two_pulls_at_the_same_time_download_each_blob_once(place: Place, server: ScriptedRegistry) -> None:
    def slow(content: bytes) -> None:
        def reply(request: Request) -> None:
            time.sleep(0.7)
            whole(content)(request)

        server.blob(digest_of(content), reply)

    for content in (LAYER, *(content for content in IMAGE.blobs.values() if content != LAYER)):
        slow(content)
    command = [sys.executable, "-m", "cli", "pull", "-q", f"{server.host}/app"]
    pulls = [
        subprocess.Popen(command, cwd="/", env=place.environ, stdout=subprocess.PIPE, text=True, **drop_privileges())
        for _ in range(2)
    ]
    assert [process.communicate(timeout=30)[0] for process in pulls] == [f"{IMAGE.config_digest}\n"] * 2
    assert [len(server.asked(f"blobs/{digest}")) for digest in IMAGE.blobs] == [1, 1]
    assert len(server.asked("manifests/latest")) == 2


def test_a_pull_goes_on_when_the_one_that_it_waits_for_is_killed(place: Place, server: ScriptedRegistry) -> None:
    def endless(request: Request) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(LAYER)))
        request.end_headers()
        request.wfile.write(LAYER[:100_000])
        request.wfile.flush()
        time.sleep(5)

    def reply(request: Request) -> None:
        (whole(LAYER) if request.headers.get("range") else endless)(request)

    server.blob(digest_of(LAYER), reply)
    command = [sys.executable, "-m", "cli", "pull", "-q", f"{server.host}/app"]
    first = subprocess.Popen(command, cwd="/", env=place.environ, **drop_privileges())
    partial = place.folder / "data/images/partial" / digest_of(LAYER).replace(":", "-")
    deadline = time.monotonic() + 10
    while not (partial.exists() and partial.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = subprocess.Popen(command, cwd="/", env=place.environ, **drop_privileges())
    time.sleep(0.5)
    first.kill()
    first.wait()
    assert second.wait(20) == 0
    assert [headers.get("range") for headers in server.asked(digest_of(LAYER))] == [None, "bytes=100000-"]


class Killer(NoProgress):
    """Kills a process when the first bytes of a large layer have come."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.at = 0

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        if phase is Phase.DOWNLOADING and 0 < done < total and not self.at:
            self.at = done
            os.kill(self.pid, signal.SIGKILL)


def test_a_mirror_that_is_killed_in_the_middle_of_a_blob(place: Place, registry: Registry) -> None:
    large = gzip.compress(make([file("large", os.urandom(24 << 20))]), 1)
    registry.push("big:1", [large, LAYER])
    with Registry() as mirror:
        mirror.push("proxy/big:1", [large, LAYER])
        place.write(
            "etc/containers/registries.conf",
            f'[[registry]]\nprefix = "quay.example"\nlocation = "{registry.host}"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}/proxy"\n',
        )

        def body() -> tuple[Image, int]:
            killer = Killer(mirror.pid)
            name = "quay.example/big:1"
            found = pull(place.locations, name, environ=place.environ, etc=place.etc, progress=killer, patience=PATIENCE)
            return found, killer.at

        since = time.monotonic()
        image, killed_at = place.run(body)
        assert 0 < killed_at < len(large)
        assert time.monotonic() - since < 10
        assert image.manifest["layers"][0]["digest"] == digest_of(large)


def test_all_tags_page_by_page(place: Place, server: ScriptedRegistry) -> None:
    manifest = server.replies["/v2/app/manifests/latest"]
    server.replies["/v2/app/manifests/2"] = manifest
    pages = {
        "/v2/app/tags/list?n=1000": (b'{"tags": ["latest"]}', '</v2/app/tags/list?n=1&last=latest>; rel="next"'),
        "/v2/app/tags/list?n=1&last=latest": (b'{"tags": ["2"]}', ""),
    }

    def reply(request: Request) -> None:
        content, link = pages[request.path]
        request.answer(200, content, **({"link": link} if link else {}))

    def pulled() -> list[str]:
        options = {"environ": place.environ, "etc": place.etc, "patience": PATIENCE}
        return list(pull_all_tags(place.locations, f"{server.host}/app", **options))

    server.replies["/v2/app/tags/list"] = reply
    assert place.run(pulled) == [f"{server.host}/app:latest", f"{server.host}/app:2"]
    assert len(server.asked(digest_of(LAYER))) == 1
    pages["/v2/app/tags/list?n=1&last=latest"] = (b'{"tags": null}', '<http://127.0.0.2/v2/app/tags/list>; rel="next"')
    with pytest.raises(RegistryError, match="on another server"):
        place.run(pulled)
    server.replies["/v2/app/tags/list"] = whole(b'{"tags": ["../x"]}')
    with pytest.raises(RegistryError, match="invalid tag"):
        place.run(pulled)
    server.replies["/v2/app/tags/list"] = whole(b'{"tags": []}')
    with pytest.raises(NoSuchObject, match="no tags"):
        place.run(pulled)


def test_searching_docker_hub_and_catalogs(place: Place, server: ScriptedRegistry) -> None:
    results = [
        {"name": "alpine", "description": "A\nsmall\x1b[31m image", "star_count": 9, "is_official": True},
        {"name": "me/alpine", "star_count": 1, "is_automated": True},
    ]
    server.replies["/v1/search"] = whole(json.dumps({"results": results}).encode())
    server.replies["/v2/_catalog"] = whole(b'{"repositories": ["team/one", "team/two", "other"]}')
    place.write("etc/containers/registries.conf", f'[[registry]]\nprefix = "docker.io"\nlocation = "{server.host}"\n')

    def found(term: str, limit: int = 25) -> list[str]:
        return [match.name for match in search(term, limit, environ=place.environ, etc=place.etc)]

    assert place.run(found, "alpine") == ["alpine", "me/alpine"]
    assert "GET /v1/search?q=alpine&n=25" in server.calls
    assert place.run(found, f"{server.host}/team") == [f"{server.host}/team/{name}" for name in ("one", "two")]
    assert place.run(found, f"{server.host}/", 1) == [f"{server.host}/team/one"]
    place.write("home/.config/containers/registries.conf", f'[[registry]]\nprefix = "docker.io"\nlocation = "{server.host}"\n')
    lines = place.rl("search", "--no-trunc", "--filter", "stars=2", "alpine").stdout.decode().splitlines()
    assert lines[1].split("  ")[0] == "alpine"
    assert lines[1].endswith("[OK]")
    assert "\x1b" not in lines[1]
    assert place.rl("search", "--format", "{{.Name}} {{.StarCount}}", "alpine").stdout == b"alpine 9\nme/alpine 1\n"
    rows = [json.loads(line) for line in place.rl("search", "--format", "json", "alpine").stdout.splitlines()]
    assert [(row["IsOfficial"], row["IsAutomated"]) for row in rows] == [("true", "false"), ("false", "true")]
    assert place.rl("search", "--filter", "colour=red", "alpine").returncode == 1
    with pytest.raises(InvalidInput, match="limit 0"):
        place.run(found, "x", 0)
    server.replies["/v1/search"] = whole(b'{"results": [1]}')
    with pytest.raises(RegistryError, match="no list of results"):
        place.run(found, "alpine")


def test_on_a_terminal_a_layer_has_a_line_with_phase_rate_and_time_left(place: Place, server: ScriptedRegistry) -> None:
    def dawdling(request: Request) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(LAYER)))
        request.end_headers()
        for start in range(0, len(LAYER), 20_000):
            request.wfile.write(LAYER[start : start + 20_000])
            request.wfile.flush()
            time.sleep(0.1)

    server.blob(digest_of(LAYER), dawdling)
    command = [sys.executable, "-I", "-m", "cli", "pull", f"{server.host}/app"]
    with Terminal(place.folder, command, place.environ) as terminal:
        terminal.wait_for("kB/s")
        line = next(line for line in terminal.screen().splitlines() if line.startswith(digest_of(LAYER)[7:19]))
        assert re.search(r"Downloading .* \d+\.\d/\d+\.\d kB \d+\.\d kB/s 00:0\d", line), line
        terminal.wait_for("Status: Downloaded newer image")
        terminal.wait_for("Pull complete")  # painted last
