"""Pushing to real registries, and to scripted ones that break off."""

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import InvalidInput, NoSuchObject, RegistryError
from rootless.images import busybox, media_types
from rootless.images.progress import Phase
from rootless.images.pull import pull
from rootless.images.push import push, push_all_tags
from rootless.images.store import ImageStore
from rootless.registry.retry import Patience
from tests.integration.images.conftest import Place
from tests.support.registries import Registry, build_image, digest_of, free_port
from tests.support.scripted_registry import Request, ScriptedRegistry, in_turn
from tests.support.tars import file, folder, make

pytestmark = pytest.mark.engine

PATIENCE = Patience(
    connect_seconds=2, read_seconds=2, stall_bytes=20_000, document_seconds=2, tries=3, first_pause=0.02, chunk_bytes=1 << 20,
    commit_seconds=5,
)  # fmt: skip
SMALL = gzip.compress(make([folder("./"), file("a", b"a")]))
LARGE = gzip.compress(make([file("b", os.urandom(2_500_000))]), 1)
IMAGE = build_image([SMALL, LARGE])


class Phases:
    """A progress that keeps the last phase of each layer, and all messages."""

    def __init__(self) -> None:
        self.last: dict[str, Phase] = {}
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.messages.append(text)

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.last[digest] = phase


def pushed(place: Place, name: str, destination: str | None = None, **options: Any) -> tuple[str, Phases]:
    def body() -> tuple[str, Phases]:
        phases = Phases()
        settings = {"environ": place.environ, "progress": phases, "etc": place.etc, "patience": PATIENCE, **options}
        return push(place.locations, name, destination, **settings), phases

    digest, phases = place.run(body)
    return digest, phases


def get(place: Place, name: str) -> Any:
    return place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc))


def skopeo(registry: Registry, *arguments: str) -> Any:
    Path(f"{registry.folder}/auth.json").write_text("{}")
    environment = {**os.environ, "REGISTRY_AUTH_FILE": f"{registry.folder}/auth.json"}
    command = ["skopeo", "inspect", "--tls-verify=false", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60, env=environment).stdout)


@pytest.fixture
def second() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_an_image_leaves_with_the_manifest_with_which_it_came(
    place: Place, registry: Registry, second: Registry, form: str
) -> None:
    installed = place.run(busybox.install, place.locations, "/bin/busybox")
    registry.copy(f"oci:{place.locations.images}:{installed.names[0]}", f"origin:{form}", "--format", form)
    came = get(place, f"{registry.host}/origin:{form}")
    digest, phases = pushed(place, f"{registry.host}/origin:{form}", f"{second.host}/team/copy:1")
    assert skopeo(registry, f"docker://{registry.host}/origin:{form}")["Digest"] == digest
    assert skopeo(second, f"docker://{second.host}/team/copy:1")["Digest"] == digest
    assert (digest == came.manifest_digest) == (form == "oci")
    config = skopeo(second, "--config", f"docker://{second.host}/team/copy:1")
    assert config["rootfs"]["diff_ids"] == list(came.diff_ids)
    assert set(phases.last.values()) == {Phase.PUSHED}
    assert phases.messages[0] == f"The push refers to repository [{second.host}/team/copy]"
    assert phases.messages[-1].startswith(f"1: digest: {digest} size: ")


def test_the_manifest_outlives_the_name_with_which_it_came(place: Place, registry: Registry, second: Registry) -> None:
    """Docker's form leaves as it came, although the name that the registry knew is gone."""
    installed = place.run(busybox.install, place.locations, "/bin/busybox")
    came, other = f"{registry.host}/origin:v2s2", f"{second.host}/team/copy:1"
    registry.copy(f"oci:{place.locations.images}:{installed.names[0]}", "origin:v2s2", "--format", "v2s2")
    get(place, came)
    assert place.rl("tag", came, other).returncode == 0
    for name in (came, installed.names[0]):
        assert place.rl("rmi", name).returncode == 0
    digest, _phases = pushed(place, other)
    assert skopeo(registry, f"docker://{came}")["Digest"] == digest


def test_what_is_there_is_not_sent_and_other_repositories_layers_are_mounted(place: Place, registry: Registry) -> None:
    digest = registry.push("mount/one:1", [SMALL, LARGE])
    get(place, f"{registry.host}/mount/one:1")
    again = pushed(place, f"{registry.host}/mount/one:1")
    assert (again[0], set(again[1].last.values())) == (digest, {Phase.PRESENT})
    place.run(ImageStore(place.locations).tag, f"{registry.host}/mount/one:1", f"{registry.host}/mount/two:1")
    other, phases = pushed(place, f"{registry.host}/mount/two:1")
    assert (other, set(phases.last.values())) == (digest, {Phase.MOUNTED})
    image = place.run(ImageStore(place.locations).get, f"{registry.host}/mount/two:1")
    assert f"{registry.host}/mount/two@{digest}" in image.repo_digests


def test_podman_pulls_what_was_pushed(place: Place, registry: Registry, second: Registry) -> None:
    registry.push("for/podman:1", [SMALL, LARGE])
    image = get(place, f"{registry.host}/for/podman:1")
    name = f"{second.host}/for/podman:1"
    pushed(place, image.id, name)
    root = [f"--root={second.folder}/graph", f"--runroot={second.folder}/run", "--storage-driver=vfs"]
    place.write("empty.json", "{}")
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(place.folder / "empty.json")}
    command = ["podman", *root, "pull", "-q", "--tls-verify=false", name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.stdout.strip() == image.id.removeprefix("sha256:"), done.stderr


def test_the_verb(place: Place, registry: Registry) -> None:
    registry.push("verb:1", [SMALL])
    name = f"{registry.host}/verb:1"
    get(place, name)
    for tag in ("a", "b"):
        place.run(ImageStore(place.locations).tag, name, f"{registry.host}/fresh/verb:{tag}")
    done = place.rl("push", f"{registry.host}/fresh/verb:a")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == f"The push refers to repository [{registry.host}/fresh/verb]"
    assert lines[1:3] == [f"{digest_of(SMALL)[7:19]}: {word}" for word in ("Preparing", "Mounted")]
    digest = lines[-1].split()[2]
    quiet = place.rl("push", "-q", "--all-tags", f"{registry.host}/fresh/verb")
    assert quiet.stdout.decode() == f"{digest}\n" * 2
    assert place.rl("image", "push", "-q", name, f"docker://{registry.host}/fresh/verb:c").stdout.decode() == f"{digest}\n"
    fresh = place.rl("pull", "--all-tags", f"{registry.host}/fresh/verb").stdout.decode().splitlines()
    names = sorted(line for line in fresh if line.startswith(f"{registry.host}/"))
    assert names == [f"{registry.host}/fresh/verb:{tag}" for tag in "abc"]
    assert place.rl("pull", f"{registry.host}/fresh/verb:a@{digest}").stdout.decode().endswith(f"/fresh/verb@{digest}\n")


def test_what_cannot_be_pushed(place: Place, registry: Registry) -> None:
    registry.push("refused:1", [SMALL])
    image = get(place, f"{registry.host}/refused:1")
    with pytest.raises(NoSuchObject, match="No such image"):
        pushed(place, "nothing:1")
    with pytest.raises(InvalidInput, match="names no repository"):
        pushed(place, image.id)
    with pytest.raises(InvalidInput, match="the image's manifest is"):
        pushed(place, image.id, f"{registry.host}/x@{digest_of(b'x')}")
    with pytest.raises(RegistryError, match="cannot reach"):
        pushed(place, image.id, f"127.0.0.1:{free_port()}/x")
    with pytest.raises(InvalidInput, match="--all-tags"):
        place.run(lambda: push_all_tags(place.locations, "x:1", environ=place.environ, etc=place.etc))
    done = place.rl("push", "nothing")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"hint: " in done.stderr


class Uploads:
    """An upload location that keeps what arrives; `breaks` are the bytes after which a PATCH is broken off."""

    def __init__(self, server: ScriptedRegistry, digest: str, *breaks: int, resumes: bool = True) -> None:
        self.content = b""
        self.ranges: list[str | None] = []
        self._breaks = list(breaks)
        self._resumes = resumes
        self._server = server
        server.replies[f"HEAD /v2/app/blobs/{digest}"] = lambda request: request.answer(404)
        server.replies["POST /v2/app/blobs/uploads/"] = self._begin
        server.replies["PATCH /up"] = self._patch
        server.replies["GET /up"] = self._status
        server.replies["PUT /up"] = self._finish

    def _begin(self, request: Request) -> None:
        self.content = b""
        request.answer(202, location="/up?state=a%2Bb")

    def _patch(self, request: Request) -> None:
        self.ranges.append(request.headers.get("content-range"))
        if self._breaks:
            self.content += request.body(self._breaks.pop(0))
            request.hang_up()
            return
        self.content += request.body()
        request.answer(202, location=f"http://{self._server.host}/up?state=c", range=f"0-{len(self.content) - 1}")

    def _status(self, request: Request) -> None:
        if self._resumes:
            request.answer(204, location="/up?state=d", range=f"0-{len(self.content) - 1}")
        else:
            request.answer(404)

    def _finish(self, request: Request) -> None:
        self.content += request.body()
        digest = f"sha256:{hashlib.sha256(self.content).hexdigest()}"
        request.answer(201 if f"digest={digest}" in request.path else 400)


@pytest.fixture
def scripted(place: Place, registry: Registry) -> Iterator[tuple[ScriptedRegistry, str]]:
    """A registry that has all but the large layer, and the image's ID in the store."""
    registry.push("scripted:1", [SMALL, LARGE])
    image = get(place, f"{registry.host}/scripted:1")
    with ScriptedRegistry() as server:
        for digest in (digest_of(SMALL), image.id):
            server.replies[f"HEAD /v2/app/blobs/{digest}"] = lambda request: request.answer(200)
        server.replies["PUT /v2/app/manifests/1"] = _take
        yield server, image.id


def _take(request: Request) -> None:
    request.body()
    request.answer(201)


def test_an_upload_goes_on_where_the_connection_broke(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted
    uploads = Uploads(server, digest_of(LARGE), 600_000, 300_000)
    pushed(place, image, f"{server.host}/app:1")
    assert uploads.content == LARGE
    assert [span.partition("-")[0] for span in uploads.ranges if span] == ["0", "600000", "900000", "1948576"]


def test_a_registry_that_forgets_an_upload_gets_it_anew(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted
    uploads = Uploads(server, digest_of(LARGE), 600_000, resumes=False)
    pushed(place, image, f"{server.host}/app:1")
    assert uploads.content == LARGE
    assert server.calls.count("POST /v2/app/blobs/uploads/") == 2


def test_uploads_that_break_for_ever_end(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted
    Uploads(server, digest_of(LARGE), *[1000] * 100, resumes=False)
    with pytest.raises(RegistryError, match="cannot reach"):
        pushed(place, image, f"{server.host}/app:1")
    assert len([call for call in server.calls if call.startswith("PATCH")]) == PATIENCE.tries


def test_passing_errors_are_tried_again_and_others_told(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted

    def refusing(status: int, **headers: str) -> Any:
        def reply(request: Request) -> None:
            request.body()
            request.answer(status, b'{"errors": [{"code": "DENIED", "message": "no\\u001b[31m"}]}', **headers)

        return reply

    uploads = Uploads(server, digest_of(LARGE))
    server.replies["PUT /v2/app/manifests/1"] = in_turn(refusing(429, retry_after="0"), refusing(503), _take)
    pushed(place, image, f"{server.host}/app:1")
    assert uploads.content == LARGE
    server.replies["PUT /v2/app/manifests/1"] = refusing(400)
    with pytest.raises(RegistryError, match=r"refuses the push: 400 Bad Request: no\?\[31m"):
        pushed(place, image, f"{server.host}/app:1")
    server.replies["PUT /v2/app/manifests/1"] = refusing(403)
    with pytest.raises(RegistryError, match="push access denied") as failure:
        pushed(place, image, f"{server.host}/app:1")
    assert "rl login" in str(failure.value.hint)
    server.replies["PUT /v2/app/manifests/1"] = lambda request: request.answer(201, docker_content_digest=digest_of(b"x"))
    with pytest.raises(RegistryError, match="changed the manifest"):
        pushed(place, image, f"{server.host}/app:1")


def test_an_upload_elsewhere_gets_no_log_in(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted
    place.write("auth.json", json.dumps({"auths": {server.host: {"auth": "dTpw"}}}))
    with ScriptedRegistry() as storage:
        uploads = Uploads(storage, digest_of(LARGE))
        server.replies[f"HEAD /v2/app/blobs/{digest_of(LARGE)}"] = in_turn(
            lambda request: request.answer(401, www_authenticate='Basic realm="x"'), lambda request: request.answer(404)
        )
        location = f"http://{storage.host}/up?signature=1"
        server.replies["POST /v2/app/blobs/uploads/"] = lambda request: request.answer(202, location=location)
        environ = {**place.environ, "REGISTRY_AUTH_FILE": str(place.folder / "auth.json")}
        pushed(place, image, f"{server.host}/app:1", environ=environ)
        assert uploads.content == LARGE
        assert [headers for headers in storage.asked("/up") if "authorization" in headers] == []
    assert server.asked("manifests")[-1]["authorization"] == "Basic dTpw"
    assert server.asked("manifests")[-1]["content-type"] == media_types.OCI_MANIFEST


def test_a_log_in_that_expires_in_the_middle_is_renewed(place: Place, scripted: tuple[ScriptedRegistry, str]) -> None:
    server, image = scripted
    tokens = iter(["first", "second"])
    challenge = f'Bearer realm="http://{server.host}/token",service="here",scope="repository:app:pull,push"'

    def guarded(token: str, reply: Any) -> Any:
        def checked(request: Request) -> None:
            if request.headers.get("authorization") == f"Bearer {token}":
                reply(request)
            else:
                request.body()
                request.answer(401, www_authenticate=challenge)

        return checked

    uploads = Uploads(server, digest_of(LARGE))
    server.replies["/token"] = lambda request: request.answer(200, json.dumps({"token": next(tokens)}).encode())
    server.replies["POST /v2/app/blobs/uploads/"] = guarded("first", server.replies["POST /v2/app/blobs/uploads/"])
    server.replies["PATCH /up"] = guarded("second", server.replies["PATCH /up"])
    pushed(place, image, f"{server.host}/app:1")
    assert uploads.content == LARGE
    assert len(server.asked("/token")) == 2
