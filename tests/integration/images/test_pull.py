"""Pulling from real registries."""

import gzip
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rootless.errors import NoSuchObject, RegistryError
from rootless.images import busybox, media_types, unpack_service
from rootless.images.progress import Phase
from rootless.images.pull import pull
from rootless.images.store import Image, ImageStore, layer_folders
from tests.integration.images.conftest import Place
from tests.support.certificates import Authority
from tests.support.registries import Registry, digest_of, free_port, login
from tests.support.tars import file, folder, make

pytestmark = pytest.mark.engine

# bcrypt of "secret"
HTPASSWD = "user:$2b$04$NRbuSzdHJBvgT7RZs/LJzO7hdjOrOliasjVqmduJmf5J17MnyvSoq\n"

BASE = gzip.compress(make([folder("./"), folder("etc", mode=0o750, uid=9, gid=9), file("etc/a", b"a"), file("etc/b", b"b")]))
UPPER = gzip.compress(make([file("etc/.wh.a"), file("etc/c", b"c")]))


class Recorder:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.phases: dict[str, list[Phase]] = {}
        self.unpacked: list[int] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        assert 0 <= done <= total
        phases = self.phases.setdefault(digest, [])
        if phases[-1:] != [phase]:
            phases.append(phase)
        if phase is Phase.EXTRACTING:
            self.unpacked.append(done)


def pulled(place: Place, name: str, **options: Any) -> tuple[Image, Recorder]:
    def body() -> tuple[Image, Recorder]:
        recorder = Recorder()
        return pull(place.locations, name, environ=place.environ, progress=recorder, etc=place.etc, **options), recorder

    image, recorder = place.run(body)
    return image, recorder


def trees(place: Place, image: Image) -> list[str]:
    folders: list[str] = place.run(layer_folders, place.locations, image)
    return folders


def names_in(tree: str, path: str) -> list[str]:
    return sorted(os.listdir(f"{tree}/{path}"))


def attributes_of(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_uid, status.st_gid, status.st_mode & 0o7777]


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_the_embedded_image_put_there_by_skopeo(place: Place, registry: Registry, form: str) -> None:
    image = place.run(busybox.install, place.locations, "/bin/busybox")
    registry.copy(f"oci:{place.locations.images}:{image.names[0]}", f"busybox:{form}", "--format", form)
    found, recorder = pulled(place, f"{registry.host}/busybox:{form}")
    assert found.diff_ids == image.diff_ids
    assert f"{registry.host}/busybox:{form}" in found.names
    assert recorder.messages[0] == f"{form}: Pulling from busybox"
    assert recorder.messages[-1].startswith("Status: ")
    command = ["skopeo", "inspect", "--raw", f"oci:{place.locations.images}:{registry.host}/busybox:{form}"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert digest_of(raw) == found.manifest_digest
    assert found.repo_digests[0] != f"{registry.host}/busybox@{found.manifest_digest}" or form == "oci"
    place.rl("rmi", "-f", image.id)
    assert os.listdir(f"{place.locations.images}/blobs/sha256") == []


def test_layers_come_in_order_and_parents_keep_their_attributes(place: Place, registry: Registry) -> None:
    registry.push("stack:1", [BASE, UPPER])
    image, recorder = pulled(place, f"{registry.host}/stack:1")
    upper, base = trees(place, image)
    found = [place.in_parent(names_in, tree, "etc") for tree in (base, upper)]
    assert found == [["a", "b"], ["a", "c"]]
    # The upper tar has no member for etc: its folder must have the lower one's attributes, and so depends on it.
    assert place.in_parent(attributes_of, f"{upper}/etc") == [9, 9, 0o750]
    assert image.layer_keys[1] != image.diff_ids[1]
    assert recorder.phases[digest_of(BASE)][-1] == Phase.COMPLETE
    registry.push("other:1", [gzip.compress(make([folder("./"), folder("etc")])), UPPER])
    other, recorder = pulled(place, f"{registry.host}/other:1")
    assert place.in_parent(attributes_of, f"{trees(place, other)[0]}/etc") == [0, 0, 0o755]
    assert trees(place, other)[0] != upper


def test_all_compressions_share_a_layer(place: Place, registry: Registry) -> None:
    plain = gzip.decompress(BASE)
    images = []
    for number, layer in enumerate((plain, BASE)):
        registry.push(f"form:{number}", [layer])
        images.append(pulled(place, f"{registry.host}/form:{number}")[0])
    assert images[0].layer_keys == images[1].layer_keys
    assert len(os.listdir(place.locations.layers)) == 1
    zstd = zstandard.compress(plain)
    registry.push("form:zstd", [zstd], rootfs={"type": "layers", "diff_ids": [digest_of(plain)]})
    assert pulled(place, f"{registry.host}/form:zstd")[0].layer_keys == images[0].layer_keys


def test_by_digest_and_again(place: Place, registry: Registry) -> None:
    digest = registry.push("again:1", [BASE])
    by_tag, _ = pulled(place, f"{registry.host}/again:1")
    by_digest, recorder = pulled(place, f"{registry.host}/again@{digest}")
    assert by_tag.id == by_digest.id
    assert recorder.phases[digest_of(BASE)] == [Phase.EXISTS]
    assert by_digest.repo_digests == (f"{registry.host}/again@{digest}",)
    _, recorder = pulled(place, f"{registry.host}/again:1")
    assert recorder.messages[-1] == f"Status: Image is up to date for {registry.host}/again:1"
    registry.push("again:1", [UPPER])
    newer, recorder = pulled(place, f"{registry.host}/again:1")
    assert recorder.messages[-1] == f"Status: Downloaded newer image for {registry.host}/again:1"
    assert newer.id != by_tag.id


def push_index(registry: Registry, name: str, **images: str) -> str:
    repository, _, tag = name.partition(":")
    manifests = []
    for platform, digest in images.items():
        architecture, _, variant = platform.partition("_")
        described = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
        with_size = {"mediaType": media_types.OCI_MANIFEST, "digest": digest, "size": size_of(registry, repository, digest)}
        manifests.append({**with_size, "platform": described})
    content = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": manifests}).encode()
    headers = {"content-type": media_types.OCI_INDEX}
    registry._request("PUT", f"/v2/{repository}/manifests/{tag}", content, headers)
    return digest_of(content)


def size_of(registry: Registry, repository: str, digest: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port)
    connection.request("HEAD", f"/v2/{repository}/manifests/{digest}", headers={"accept": media_types.OCI_MANIFEST})
    size = int(connection.getresponse().headers["content-length"])
    connection.close()
    return size


def test_of_an_index_the_platform_s_image(place: Place, registry: Registry) -> None:
    native = registry.push("multi:native", [BASE])
    arm = registry.push("multi:arm", [UPPER], architecture="arm", variant="v7")
    index = push_index(registry, "multi:latest", arm_v7=arm, amd64=native)
    image, recorder = pulled(place, f"{registry.host}/multi")
    assert (image.manifest_digest, image.repo_digests) == (native, (f"{registry.host}/multi@{index}",))
    assert "Using default tag: latest" in recorder.messages
    assert pulled(place, f"{registry.host}/multi@{index}")[0].manifest_digest == native
    assert pulled(place, f"{registry.host}/multi", platform="linux/arm/v7")[0].manifest_digest == arm
    with pytest.raises(NoSuchObject, match="no image for linux/s390x") as failure:
        pulled(place, f"{registry.host}/multi", platform="linux/s390x")
    assert "linux/arm/v7, linux/amd64" in str(failure.value.hint)
    with pytest.raises(NoSuchObject, match="for linux/arm, not for linux/amd64"):
        pulled(place, f"{registry.host}/multi:arm", platform="linux/amd64")
    assert "not for linux/amd64" in pulled(place, f"{registry.host}/multi:arm")[1].warnings[0]


def test_unknown_names_and_a_registry_that_is_down(place: Place, registry: Registry) -> None:
    registry.push("known:1", [BASE])
    for name in ("known:2", "unknown:1", f"known@{digest_of(b'x')}"):
        with pytest.raises(NoSuchObject, match="not found"):
            pulled(place, f"{registry.host}/{name}")
    with pytest.raises(RegistryError, match="cannot reach the registry") as failure:
        pulled(place, f"127.0.0.1:{free_port()}/x")
    assert failure.value.hint is not None
    assert place.run(ImageStore(place.locations).list) == []
    done = place.rl("pull", f"127.0.0.1:{free_port()}/x")
    assert done.returncode == 1
    assert b"\nhint: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.fixture
def guarded(place: Place) -> Iterator[Registry]:
    place.write("htpasswd", HTPASSWD)
    with Registry(auth={"htpasswd": {"realm": "test", "path": str(place.folder / "htpasswd")}}) as registry:
        yield registry


def test_basic_authentication(place: Place, guarded: Registry) -> None:
    place.run(busybox.install, place.locations, "/bin/busybox")
    guarded.copy(f"oci:{place.locations.images}:{busybox.NAME}", "private:1", "--dest-creds", "user:secret")
    with pytest.raises(RegistryError, match="pull access denied") as failure:
        pulled(place, f"{guarded.host}/private:1")
    assert "log-in" in str(failure.value.hint)
    place.write("home/.docker/config.json", login(guarded.host, "user", "wrong"))
    with pytest.raises(RegistryError, match="pull access denied"):
        pulled(place, f"{guarded.host}/private:1")
    place.write("home/.docker/config.json", login(guarded.host, "user", "secret"))
    assert pulled(place, f"{guarded.host}/private:1")[0].names


def test_tls_with_an_authority_of_certs_d(place: Place) -> None:
    authority = Authority("127.1")
    place.write("server.crt", authority.server_certificate)
    place.write("server.key", authority.server_key)
    tls = {"certificate": str(place.folder / "server.crt"), "key": str(place.folder / "server.key")}
    with Registry(http={"tls": tls}) as registry:
        # 127.1 is the same address, but by its form no loopback name, for which no certificate would be checked.
        name = f"127.1:{registry.port}/busybox:1"
        place.run(busybox.install, place.locations, "/bin/busybox")
        registry.copy(f"oci:{place.locations.images}:{busybox.NAME}", "busybox:1")
        with pytest.raises(RegistryError, match="certificate verify failed"):
            pulled(place, name)
        place.write(f"home/.config/containers/certs.d/127.1:{registry.port}/ca.crt", authority.certificate)
        assert name in pulled(place, name)[0].names
        assert pulled(place, f"{registry.host}/busybox:1")[0].names  # loopback: any certificate


def test_plain_http_is_refused_but_for_insecure_registries(place: Place, registry: Registry) -> None:
    registry.push("plain:1", [BASE])
    with pytest.raises(RegistryError, match="cannot reach"):
        pulled(place, f"127.1:{registry.port}/plain:1")
    place.write("etc/containers/registries.conf", f'[[registry]]\nlocation = "127.1:{registry.port}"\ninsecure = true')
    assert pulled(place, f"127.1:{registry.port}/plain:1")[0].names


def test_aliases_search_registries_and_mirrors(place: Place, registry: Registry) -> None:
    registry.push("team/tool:latest", [BASE])
    place.write(
        "home/.config/containers/registries.conf",
        f"""
        unqualified-search-registries = ["127.0.0.1:{free_port()}", "{registry.host}"]
        [aliases]
        "tool" = "quay.example/team/tool"
        [[registry]]
        prefix = "quay.example"
        location = "{registry.host}"
        [[registry.mirror]]
        location = "127.0.0.1:{free_port()}"
        """,
    )
    image, _ = pulled(place, "tool")
    assert image.names == ("quay.example/team/tool:latest",)
    found, recorder = pulled(place, "team/tool:latest")
    assert f"{registry.host}/team/tool:latest" in found.names
    assert "cannot reach" in recorder.warnings[0]
    with pytest.raises(NoSuchObject, match="no registry of the search list has nothing"):
        pulled(place, "nothing")
    registry_less = pulled(place, "tool", if_missing=True)[1]
    assert registry_less.messages == []


def test_the_verbs(place: Place, registry: Registry) -> None:
    digest = registry.push("verbs:1", [BASE, UPPER])
    name = f"{registry.host}/verbs:1"
    done = place.rl("pull", name)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "1: Pulling from verbs"
    assert f"{digest_of(BASE)[7:19]}: Pull complete" in lines
    assert lines[-3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {name}", name]
    image = place.run(ImageStore(place.locations).get, name)
    assert place.rl("pull", "-q", name).stdout.decode() == f"{image.id}\n"
    listed = place.rl("images", "--digests").stdout.decode().splitlines()
    assert listed[0].split() == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert listed[1].split()[:4] == [f"{registry.host}/verbs", "1", digest, image.id[7:19]]
    assert place.rl("images", "-q", "--no-trunc").stdout.decode() == f"{image.id}\n"
    removed = place.rl("rmi", name)
    assert removed.stdout.decode().splitlines() == [
        f"Untagged: {name}",
        f"Untagged: {registry.host}/verbs@{digest}",
        f"Deleted: {image.id}",
        *(f"Deleted: {key}" for key in sorted(image.layer_keys)),
    ]
    assert os.listdir(place.locations.layers) == os.listdir(place.locations.trash) == []
    assert os.listdir(f"{place.locations.images}/blobs/sha256") == []
    assert place.rl("rmi", name).returncode == 1


def test_pulls_of_the_same_image_at_the_same_time(place: Place, registry: Registry) -> None:
    registry.push("many:1", [BASE, UPPER, gzip.compress(make([file("big", os.urandom(5_000_000))]))])
    program = f"for n in 1 2 3 4; do rl pull -q {registry.host}/many:1 & done; wait"
    script = program.replace("rl ", f"{sys.executable} -I -m cli ")
    done = place.run(lambda: subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True))
    image = place.run(ImageStore(place.locations).get, f"{registry.host}/many:1")
    assert done.stdout == f"{image.id}\n" * 4, done.stderr
    assert len(os.listdir(place.locations.layers)) == 3
    assert os.listdir(f"{place.locations.images}/partial") == []
    assert Path(place.locations.images).is_dir()


def test_how_far_a_layer_is_unpacked_is_told(place: Place, registry: Registry) -> None:
    layer = make([file("data", os.urandom(3 << 20))])
    registry.push("told:1", [layer])

    def body() -> list[int]:
        unpack_service._TELL_EVERY = 0  # the worker is our fork
        recorder = Recorder()
        pull(place.locations, f"{registry.host}/told:1", environ=place.environ, progress=recorder, etc=place.etc)
        return recorder.unpacked

    offsets = place.run(body)
    assert offsets == sorted(offsets)
    assert (offsets[0], offsets[-1]) == (0, len(layer))
    assert len(set(offsets)) > 3
