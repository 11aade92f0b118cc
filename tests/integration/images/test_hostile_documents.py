"""Documents of a registry that are not what they should be: lists, tokens, manifests, configs, signatures."""

import gzip
import hashlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rootless.errors import RegistryError
from rootless.images import media_types
from rootless.images.pull import pull
from rootless.registry.retry import Patience
from tests.integration.images.conftest import Place
from tests.support.registries import BuiltImage, build_image, digest_of
from tests.support.scripted_registry import Request, ScriptedRegistry, whole
from tests.support.tars import file, make

pytestmark = pytest.mark.engine

IMAGE = build_image([gzip.compress(make([file("a", b"a")]), 1)])
DEEP = b"[" * 200_000


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as running:
        running.serve(IMAGE)
        yield running


def rl(place: Place, *arguments: str, status: int = 0) -> str:
    """Return what `rl` says on both outputs, after a look at its exit status."""
    done = place.rl(*arguments)
    said = (done.stdout + done.stderr).decode()
    assert "Traceback" not in said, said
    assert done.returncode == status, (arguments, said)
    return said


def says_no_traceback(place: Place, *arguments: str) -> int:
    """Return the exit status of `rl`, which may fail in order."""
    done = place.rl(*arguments)
    assert b"Traceback" not in done.stderr, (arguments, done.stderr.decode())
    return done.returncode


def index_of(*instances: tuple[BuiltImage, dict[str, Any] | None]) -> bytes:
    manifests = [
        {
            "mediaType": media_types.OCI_MANIFEST,
            "digest": image.digest,
            "size": len(image.manifest),
            **({"platform": platform} if platform else {}),
        }
        for image, platform in instances
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": manifests}).encode()


def with_manifest(image: BuiltImage, **changes: Any) -> BuiltImage:
    manifest = json.dumps({**json.loads(image.manifest), **changes}).encode()
    return BuiltImage(manifest, image.blobs, image.config_digest, image.layers)


def test_one_layer_in_two_compressions(place: Place, server: ScriptedRegistry) -> None:
    tar = make([file("a", b"a" * 1000)])
    server.serve(build_image([gzip.compress(tar, 1), gzip.compress(tar, 9), tar]))
    rl(place, "pull", "-q", f"{server.host}/app")
    assert len({path for path, _ in server.requests if "/blobs/" in path}) == 4


def test_documents_nested_too_deep(place: Place, server: ScriptedRegistry) -> None:
    server.replies["/v2/app/manifests/latest"] = whole(DEEP, content_type=media_types.OCI_MANIFEST)
    assert "not JSON" in rl(place, "pull", f"{server.host}/app", status=1)
    rl(place, "manifest", "inspect", f"{server.host}/app", status=1)
    config = build_image([])
    deep = digest_of(DEEP)
    changed = with_manifest(config, config={"mediaType": media_types.OCI_CONFIG, "digest": deep, "size": len(DEEP)})
    changed.blobs[deep] = DEEP
    server.serve(changed)
    assert "not JSON" in rl(place, "pull", f"{server.host}/app", status=1)


def test_a_digest_in_the_name_is_checked_by_the_list_verbs(place: Place, server: ScriptedRegistry) -> None:
    other = build_image([make([file("evil", b"")])])
    server.serve(other)
    name = f"{server.host}/app@{IMAGE.digest}"
    server.replies[f"/v2/app/manifests/{IMAGE.digest}"] = whole(other.manifest, content_type=media_types.OCI_MANIFEST)
    assert "wrong digest" in rl(place, "manifest", "inspect", name, status=1)
    rl(place, "manifest", "create", "mine")
    assert "wrong digest" in rl(place, "manifest", "add", "mine", f"docker://{name}", status=1)


def test_attestations_are_no_images(place: Place, server: ScriptedRegistry) -> None:
    statement = b'{"_type": "x"}'
    attested = build_image([], architecture="unknown", os="unknown")
    layer = {"mediaType": "application/vnd.in-toto+json", "digest": digest_of(statement), "size": len(statement)}
    attestation = with_manifest(attested, layers=[layer])
    attestation.blobs[digest_of(statement)] = statement
    for image in (IMAGE, attestation):
        server.serve(image, tag=image.digest)
    unknown = {"architecture": "unknown", "os": "unknown"}
    index = index_of((attestation, unknown), (IMAGE, {"architecture": "amd64", "os": "linux"}))
    server.replies["/v2/app/manifests/latest"] = whole(index, content_type=media_types.OCI_INDEX)
    assert rl(place, "pull", "-q", f"{server.host}/app").strip() == IMAGE.config_digest
    rl(place, "manifest", "create", "--all", "mine", f"docker://{server.host}/app")
    listed = json.loads(rl(place, "manifest", "inspect", "mine"))["manifests"]
    assert [one["digest"] for one in listed] == [IMAGE.digest]


def test_all_tags_leave_signatures_out(place: Place, server: ScriptedRegistry) -> None:
    signature = f"sha256-{'0' * 64}.sig"
    tags = json.dumps({"name": "app", "tags": [signature, "latest", f"sha256-{'1' * 64}"]}).encode()
    server.replies["/v2/app/tags/list"] = whole(tags)
    assert rl(place, "pull", "-q", "-a", f"{server.host}/app").strip() == IMAGE.config_digest
    assert not [call for call in server.calls if "sha256-" in call]


def test_an_image_without_layers(place: Place, server: ScriptedRegistry) -> None:
    server.serve(build_image([]))
    rl(place, "pull", "-q", f"{server.host}/app")
    assert rl(place, "history", "-q", f"{server.host}/app") == ""


def test_an_endless_list_of_tags_ends(place: Place, server: ScriptedRegistry) -> None:
    page = json.dumps({"tags": [f"t{number}" for number in range(100_000)]}).encode()

    def again(request: Request) -> None:
        request.answer(200, page, link='</v2/app/tags/list?n=1000&last=x>; rel="next"')

    server.replies["/v2/app/tags/list"] = again
    since = time.monotonic()
    assert "lists more than 64 MiB" in rl(place, "pull", "-q", "-a", f"{server.host}/app", status=1)
    assert time.monotonic() - since < 20


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": 9},
        {"author": 3},
        {"config": []},
        {"config": {"Cmd": "x"}},
        {"config": {"Env": 3}},
        {"config": {"ExposedPorts": 5}},
        {"config": {"Healthcheck": 3}},
        {"config": {"Labels": [1]}},
        {"config": {"Volumes": []}},
        {"created": 5},
        {"created": "x"},
        {"history": 7},
        {"history": [1]},
        {"os": {}},
    ],
    ids=json.dumps,
)
def test_a_field_of_a_config_of_the_wrong_type(place: Place, server: ScriptedRegistry, config: Any) -> None:
    """Refused by the pull, or left out or refused by the verbs: none of them ends with a defect's report."""
    server.serve(build_image([gzip.compress(make([file("a", b"a")]), 1)], **config))
    name = f"{server.host}/app"
    if says_no_traceback(place, "pull", "-q", name) != 0:
        return
    for verb in (["images"], ["history", name], ["image", "inspect", name]):
        says_no_traceback(place, *verb)


def test_a_name_with_a_sha512_digest(place: Place, server: ScriptedRegistry) -> None:
    digest = f"sha512:{hashlib.sha512(IMAGE.manifest).hexdigest()}"
    server.replies[f"/v2/app/manifests/{digest}"] = whole(IMAGE.manifest, content_type=media_types.OCI_MANIFEST)
    assert IMAGE.config_digest in rl(place, "pull", "-q", f"{server.host}/app@{digest}")
    server.replies[f"/v2/app/manifests/{digest}"] = whole(b" " + IMAGE.manifest, content_type=media_types.OCI_MANIFEST)
    assert "wrong digest" in rl(place, "pull", f"{server.host}/app@{digest}", status=1)
    assert f"{server.host}/app" in rl(place, "images", "--digests")


def test_a_token_server_whose_headers_drip(place: Place, server: ScriptedRegistry) -> None:
    def drip(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(60):
            request.wfile.write(b"x-a: b\r\n")
            time.sleep(0.1)
        request.answer(200, b'{"token": "t"}')

    def asks(request: Request) -> None:
        request.answer(401, www_authenticate=f'Bearer realm="http://{server.host}/token",service="x"')

    server.replies["/token"] = drip
    server.replies["/v2/app/manifests/latest"] = asks
    since = time.monotonic()
    patience = Patience(read_seconds=1, document_seconds=0.5, tries=2, first_pause=0.02)
    with pytest.raises(RegistryError, match=r"token server.*too slow"):
        place.run(lambda: pull(place.locations, f"{server.host}/app", environ=place.environ, etc=place.etc, patience=patience))
    assert time.monotonic() - since < 3


def test_a_server_that_forgets_again_and_again(place: Place, server: ScriptedRegistry) -> None:
    layer = gzip.compress(make([file("data", os.urandom(400_000))]), 1)
    server.serve(build_image([layer]))
    rounds: list[str | None] = []

    def forgets(request: Request) -> None:
        rounds.append(request.headers.get("range"))
        if request.headers.get("range"):
            request.answer(416)
        else:
            request.answer(200, layer[:150_000], length=len(layer))
        if len(rounds) > 40:
            request.answer(200, layer)

    server.blob(digest_of(layer), forgets)
    patience = Patience(read_seconds=1, tries=3, first_pause=0.02, stall_bytes=20_000)
    with pytest.raises(RegistryError):
        place.run(lambda: pull(place.locations, f"{server.host}/app", environ=place.environ, etc=place.etc, patience=patience))
    assert len(rounds) < 12
