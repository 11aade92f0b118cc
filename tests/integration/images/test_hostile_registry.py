"""Registries that lie, break off, dawdle or redirect: bounded time and memory, a clear error, nothing half made."""

import contextlib
import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import CorruptImage, NoSuchObject, RegistryError, RlError
from rootless.images import media_types
from rootless.images.pull import pull
from rootless.images.store import ImageStore
from rootless.registry.retry import Patience
from tests.integration.images.conftest import Place
from tests.support.registries import build_image, digest_of, free_port, login
from tests.support.scripted_registry import Request, ScriptedRegistry, broken_off, in_turn, whole
from tests.support.tars import file, make

pytestmark = pytest.mark.engine

PATIENCE = Patience(
    connect_seconds=2, read_seconds=1, stall_seconds=0.5, stall_bytes=20_000, document_seconds=1.5, tries=3, first_pause=0.02
)
DATA = os.urandom(400_000)
LAYER = gzip.compress(make([file("data", DATA)]), 1)
IMAGE = build_image([LAYER])
BLOB = digest_of(LAYER)
CONFIG = IMAGE.config_digest


@pytest.fixture
def server() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as running:
        running.serve(IMAGE)
        yield running


def pulled(place: Place, name: str, patience: Patience = PATIENCE) -> Any:
    return place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc, patience=patience))


def refused(place: Place, server: ScriptedRegistry, error: type[RlError], message: str, seconds: float = 5.0) -> RlError:
    since = time.monotonic()
    with pytest.raises(error, match=message) as failure:
        pulled(place, f"{server.host}/app")
    assert time.monotonic() - since < seconds
    assert place.run(ImageStore(place.locations).list) == []
    assert os.listdir(place.locations.layers) == []
    assert BLOB[7:] not in os.listdir(f"{place.locations.images}/blobs/sha256")
    return failure.value


def partial(place: Place) -> list[str]:
    return os.listdir(f"{place.locations.images}/partial")


def test_the_script_s_registry_works(place: Place, server: ScriptedRegistry) -> None:
    assert pulled(place, f"{server.host}/app").id == CONFIG
    assert len(server.asked(BLOB)) == 1


def test_a_lost_connection_is_resumed_where_it_broke(place: Place, server: ScriptedRegistry) -> None:
    server.blob(BLOB, broken_off(LAYER, 150_000))
    assert pulled(place, f"{server.host}/app").id == CONFIG
    ranges = [headers.get("range") for headers in server.asked(BLOB)]
    assert ranges == [None, "bytes=150000-", "bytes=300000-"]


def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(place: Place, server: ScriptedRegistry) -> None:
    def gone(request: Request) -> None:
        request.answer(503)

    server.blob(BLOB, in_turn(broken_off(LAYER, 150_000), gone))
    refused(place, server, RegistryError, "answers 503")
    assert partial(place) == [BLOB.replace(":", "-")]
    server.blob(BLOB, whole(LAYER))
    assert pulled(place, f"{server.host}/app").id == CONFIG
    assert server.asked(BLOB)[-1]["range"] == "bytes=150000-"
    assert partial(place) == []


def test_a_damaged_partial_download_is_thrown_away(place: Place, server: ScriptedRegistry) -> None:
    place.run(ImageStore(place.locations).layout.prepare)
    place.write(f"data/images/partial/{BLOB.replace(':', '-')}", "x" * 1000)
    assert pulled(place, f"{server.host}/app").id == CONFIG
    assert [headers.get("range") for headers in server.asked(BLOB)] == ["bytes=1000-", None]


@pytest.mark.parametrize("status", [200, 416])
def test_a_server_without_ranges_starts_again(place: Place, server: ScriptedRegistry, status: int) -> None:
    def no_ranges(request: Request) -> None:
        if request.headers.get("range") and status == 416:
            request.answer(416)
        else:
            request.answer(200, LAYER)

    server.blob(BLOB, in_turn(broken_off(LAYER, 1000), no_ranges))
    assert pulled(place, f"{server.host}/app").id == CONFIG


def test_passing_errors_are_tried_again(place: Place, server: ScriptedRegistry) -> None:
    manifest = whole(IMAGE.manifest, content_type=media_types.OCI_MANIFEST)

    def busy(request: Request) -> None:
        request.answer(429, retry_after="0")

    def failing(request: Request) -> None:
        request.answer(500, b"<html>")

    server.replies["/v2/app/manifests/latest"] = in_turn(busy, failing, manifest)
    server.blob(BLOB, in_turn(failing, Request.hang_up, whole(LAYER)))
    assert pulled(place, f"{server.host}/app").id == CONFIG


@pytest.mark.parametrize("status", [429, 500, 503])
def test_lasting_errors_end(place: Place, server: ScriptedRegistry, status: int) -> None:
    def failing(request: Request) -> None:
        request.answer(status, b'{"errors": [{"message": "too\\u001b[31m bad"}]}')

    server.blob(BLOB, failing)
    error = refused(place, server, RegistryError, f"answers {status} .*: too.*bad")
    assert "\x1b" not in error.message
    assert len(server.asked(BLOB)) == PATIENCE.tries


def test_a_wrong_digest_is_refused_and_nothing_kept(place: Place, server: ScriptedRegistry) -> None:
    wrong = bytearray(LAYER)
    wrong[1000] ^= 1
    server.blob(BLOB, whole(bytes(wrong)))
    refused(place, server, CorruptImage, f"wrong digest: {server.host} sent sha256:.* for {BLOB}")
    assert partial(place) == []


def test_a_layer_that_is_too_short(place: Place, server: ScriptedRegistry) -> None:
    server.blob(BLOB, whole(LAYER[:-100]))
    refused(place, server, RegistryError, "sent .* bytes of|answers|cannot resume")


def test_an_endless_body_is_cut_off(place: Place, server: ScriptedRegistry) -> None:
    def endless(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(bytes(1 << 16))

    server.blob(CONFIG, endless)
    refused(place, server, RegistryError, "more than")
    server.serve(IMAGE)
    server.blob(BLOB, endless)
    refused(place, server, CorruptImage, "sends more than")
    server.replies["/v2/app/manifests/latest"] = endless
    refused(place, server, RegistryError, "more than 4194304 bytes")
    assert place.run(growth_of_a_refused_pull, place, f"{server.host}/app") < 100 << 10


def growth_of_a_refused_pull(place: Place, name: str) -> int:
    """Return by how many KiB this process grew at most, a fork of the tests' own, which are large."""
    before = in_status("VmRSS")
    with contextlib.suppress(RegistryError):
        pull(place.locations, name, environ=place.environ, etc=place.etc, patience=PATIENCE)
    return in_status("VmHWM") - before


def in_status(field: str) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1])


def test_a_slow_server_ends(place: Place, server: ScriptedRegistry) -> None:
    def dawdling(request: Request) -> None:
        request.send_response(200)
        request.send_header("content-length", str(len(LAYER)))
        request.end_headers()
        for byte in LAYER:
            request.wfile.write(bytes([byte]))
            time.sleep(0.05)

    server.blob(BLOB, dawdling)
    refused(place, server, RegistryError, "too slow", seconds=8)
    server.replies["/v2/app/manifests/latest"] = dawdling
    refused(place, server, RegistryError, "too slow", seconds=8)


def test_silence_ends(place: Place, server: ScriptedRegistry) -> None:
    server.replies["/v2/app/manifests/latest"] = lambda _request: time.sleep(2)
    refused(place, server, RegistryError, "cannot reach", seconds=8)


def test_redirects_are_followed_without_credentials(place: Place, server: ScriptedRegistry) -> None:
    place.write("home/.docker/config.json", login(server.host, "user", "secret"))
    manifest = whole(IMAGE.manifest, content_type=media_types.OCI_MANIFEST)

    def guarded(request: Request) -> None:
        if "authorization" in request.headers:
            manifest(request)
        else:
            request.answer(401, www_authenticate='Basic realm="x"')

    with ScriptedRegistry() as storage:
        storage.replies["/somewhere"] = whole(LAYER)
        server.replies["/v2/app/manifests/latest"] = guarded
        server.blob(BLOB, lambda request: request.answer(307, location=f"http://{storage.host}/somewhere?signature=1"))
        assert pulled(place, f"{server.host}/app").id == CONFIG
        (headers,) = storage.asked("/somewhere")
        assert "authorization" not in headers
        assert "authorization" in server.asked(BLOB)[0]


def test_redirect_loops_end(place: Place, server: ScriptedRegistry) -> None:
    server.blob(BLOB, lambda request: request.answer(302, location=request.path))
    refused(place, server, RegistryError, "redirects more than")
    server.blob(BLOB, lambda request: request.answer(302, location="file:///etc/passwd"))
    refused(place, server, RegistryError, "redirects .* not followed")


def test_tokens(place: Place, server: ScriptedRegistry) -> None:
    """The token server is asked once, by the log-in, and its token goes to the registry."""
    place.write("home/.docker/config.json", login(server.host, "user", "secret"))
    challenge = f'Bearer realm="http://{server.host}/token",service="here",scope="repository:app:pull"'
    for path, reply in list(server.replies.items()):

        def guarded(request: Request, reply: Any = reply) -> None:
            if request.headers.get("authorization") == "Bearer abc":
                reply(request)
            else:
                request.answer(401, www_authenticate=challenge)

        server.replies[path] = guarded
    server.replies["/token"] = whole(json.dumps({"token": "abc", "expires_in": 60}).encode())
    assert pulled(place, f"{server.host}/app").id == CONFIG
    ((path, headers),) = [(path, headers) for path, headers in server.requests if path.startswith("/token")]
    assert "service=here" in path
    assert "scope=repository:app:pull" in path
    assert headers["authorization"].startswith("Basic ")
    server.replies["/token"] = whole(b'{"token": "bad\\nvalue"}')
    with pytest.raises(RegistryError, match="sent no token"):
        pulled(place, f"{server.host}/app")
    place.write("home/.docker/config.json", json.dumps({"auths": {server.host: {"identitytoken": "refresh"}}}))
    server.replies["/token"] = whole(b'{"access_token": "abc"}')
    assert pulled(place, f"{server.host}/app").id == CONFIG
    assert b"grant_type=refresh_token" in server.bodies[-1]
    assert b"refresh_token=refresh" in server.bodies[-1]


def test_a_mirror_that_goes_down_in_the_middle(place: Place, server: ScriptedRegistry) -> None:
    with ScriptedRegistry() as mirror:
        mirror.serve(IMAGE, "proxy/app")
        mirror.blob(BLOB, in_turn(broken_off(LAYER, 150_000), lambda request: request.answer(503)), "proxy/app")
        place.write(
            "etc/containers/registries.conf",
            f"""
            [[registry]]
            prefix = "quay.example"
            location = "{server.host}"
            [[registry.mirror]]
            location = "127.0.0.1:{free_port()}"
            [[registry.mirror]]
            location = "{mirror.host}/proxy"
            """,
        )
        image = pulled(place, "quay.example/app")
        assert image.names == ("quay.example/app:latest",)
        assert server.asked("manifests") == []
        assert [headers.get("range") for headers in server.asked(BLOB)] == ["bytes=150000-"]
        mirror.blob(BLOB, whole(bytes(len(LAYER))), "proxy/app")
        place.rl("rmi", "quay.example/app")
        assert pulled(place, "quay.example/app").id == CONFIG


def manifests() -> list[tuple[bytes, type[RlError], str]]:
    def changed(**changes: Any) -> bytes:
        return json.dumps({**json.loads(IMAGE.manifest), **changes}).encode()

    layer = IMAGE.layers[0]
    return [
        (b"<html>", CorruptImage, "not JSON"),
        (b"[]", CorruptImage, "not a JSON object"),
        (changed(schemaVersion=1), CorruptImage, "schema version 1"),
        (changed(mediaType="text/plain"), CorruptImage, "not an image's manifest"),
        (changed(config={"mediaType": "application/x", "digest": CONFIG, "size": 5}), CorruptImage, "artifact"),
        (changed(layers=[{**layer, "digest": "sha256:../../../etc"}]), CorruptImage, "no valid digest"),
        (changed(layers=[{**layer, "size": len(LAYER) - 1}]), CorruptImage, "sends more than"),
        (changed(layers=[{**layer, "size": len(LAYER) + 1}]), RegistryError, "bytes of|cannot resume"),
        (changed(layers=[layer, layer]), CorruptImage, "names 1 layers, but the manifest has 2"),
        (changed(config={**json.loads(IMAGE.manifest)["config"], "size": 3}), RegistryError, "more than 3 bytes"),
        (changed(config={**json.loads(IMAGE.manifest)["config"], "size": 1 << 40}), CorruptImage, "more than"),
        (json.dumps({"mediaType": media_types.OCI_INDEX, "manifests": []}).encode(), NoSuchObject, "no image for"),
    ]


@pytest.mark.parametrize(("content", "error", "message"), manifests(), ids=range(len(manifests())))
def test_lying_manifests(place: Place, server: ScriptedRegistry, content: bytes, error: type[RlError], message: str) -> None:
    server.replies["/v2/app/manifests/latest"] = whole(content, content_type=media_types.OCI_MANIFEST)
    refused(place, server, error, message)


def test_a_manifest_with_another_digest(place: Place, server: ScriptedRegistry) -> None:
    other = digest_of(b"other")
    server.replies[f"/v2/app/manifests/{other}"] = whole(IMAGE.manifest, content_type=media_types.OCI_MANIFEST)
    with pytest.raises(CorruptImage, match="wrong digest"):
        pulled(place, f"{server.host}/app@{other}")
    lying = whole(IMAGE.manifest, content_type=media_types.OCI_MANIFEST, docker_content_digest=other)
    server.replies["/v2/app/manifests/latest"] = lying
    refused(place, server, CorruptImage, "wrong digest")


def test_a_diff_id_that_is_not_the_layer_s(place: Place, server: ScriptedRegistry) -> None:
    image = build_image([LAYER], rootfs={"type": "layers", "diff_ids": [digest_of(b"x")]})
    server.serve(image)
    with pytest.raises(CorruptImage, match=f"layer {BLOB[7:19]}: the content of the layer has the diff ID"):
        pulled(place, f"{server.host}/app")
    assert os.listdir(place.locations.layers) == []


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (gzip.compress(make([file("a"), file("../x")])), r"\.\./x"),
        (gzip.compress(b"x" * 600), "not a tar"),
        (LAYER[:-1000], "ends in the middle"),
    ],
)
def test_hostile_layers_beside_good_ones(place: Place, server: ScriptedRegistry, layer: bytes, message: str) -> None:
    diff_ids = [digest_of(gzip.decompress(LAYER)), digest_of(b"")]
    image = build_image([LAYER, gzip.compress(b"")], rootfs={"type": "layers", "diff_ids": diff_ids})
    manifest = json.loads(image.manifest)
    manifest["layers"][1].update(digest=digest_of(layer), size=len(layer))
    server.serve(image)
    server.blob(digest_of(layer), whole(layer))
    content = json.dumps(manifest).encode()
    server.replies["/v2/app/manifests/latest"] = whole(content, content_type=media_types.OCI_MANIFEST)
    with pytest.raises(CorruptImage, match=message):
        pulled(place, f"{server.host}/app")
    assert os.listdir(place.locations.layers) == []
    assert place.run(ImageStore(place.locations).list) == []
