"""A layer that rl unpacked is the same, to the last attribute, as what umoci and podman unpack of the same blob."""

import gzip
import json
import os
import shutil
import signal
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from rootless.images import layers
from rootless.images.attributes import NATIVE
from rootless.images.pull import pull
from rootless.images.unpack_image import read_record
from tests.integration.images.conftest import Place
from tests.support.registries import Registry
from tests.support.tars import file, folder, hard_link, make, member, symlink
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

# cap_net_raw+ep as version 2: what images have, and what is stored as version 3 with the parent namespace's root.
CAPABILITY = "\x01\x00\x00\x02\x00\x20" + "\x00" * 14
LONG = "/".join(["a-rather-long-name-of-a-folder"] * 9)


def layer(tmp_path: Path) -> bytes:
    """Return a tar with everything that layers have and rootless peers can make, in GNU's and PAX's forms."""
    # Each folder has a member: where one is left out, every engine makes up its own mode and time.
    entries = [
        folder("./", mode=0o751, mtime=5),
        *(folder(prefix) for prefix in prefixes(LONG)),
        *(folder(prefix) for prefix in prefixes(f"gnu/{LONG}")),
        folder("bin", mode=0o755),
        file("bin/ping", b"x" * 5000, mode=0o4755, uid=3, gid=4),
        folder("tmp", mode=0o1777, mtime=7),
        folder("shared", mode=0o2775, gid=50),
        hard_link("bin/ping6", "bin/ping", mode=0o4755, uid=3, gid=4),
        symlink("lib", "usr/lib", uid=8, gid=9),
        symlink("dangling", "/nowhere"),
        hard_link("lib-again", "lib", uid=8, gid=9),
        (member("fifo", tarfile.FIFOTYPE, mode=0o620, uid=5), b""),
        file("times", b"t", pax_headers={"mtime": "1234567890.123456789"}),
        file("capable", b"c", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY}),
        file("mine", b"m", pax_headers={"SCHILY.xattr.user.mine": "value"}),
        file(f"{LONG}/file", b"long"),
        symlink("long", f"{LONG}/file"),
        file("big-id", b"", uid=60_000, gid=60_001),
        file("empty", b"", mode=0),
    ]
    gnu = make([file(f"gnu/{LONG}/n\udcff", b"not UTF-8", uid=12_345)], tarfile.GNU_FORMAT)
    return without_end(make(entries)) + without_end(gnu) + sparse(tmp_path)


def prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def sparse(tmp_path: Path) -> bytes:
    """Return what GNU tar makes of a file with holes, in the one form (PAX 1.0) that the peers know, too."""
    path = tmp_path / "holes"
    with path.open("wb") as holes:
        for position in range(6):
            holes.seek(position * 300_000)
            holes.write(b"data" * 1024)
        holes.truncate(2_000_000)
    os.utime(path, (99, 99))
    command = ["tar", "-C", str(tmp_path), "-S", "--format=posix", "--owner=0", "--group=0", "-cf", "-", "holes"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def without_end(archive: bytes) -> bytes:
    """Return the members only, the last of which does not end in zeros."""
    return archive[: (len(archive.rstrip(b"\0")) + 511) // 512 * 512]


def listed(root: str) -> list[list[object]]:
    """Return path, type, mode, owner, size, links, time, xattrs and content of all below a folder, as JSON has it."""
    found: list[list[object]] = []
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        content = ""
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as opened:
                content = opened.read().hex()[:20_000]
        elif stat.S_ISLNK(status.st_mode):
            content = os.fsdecode(os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            pending += [path + b"/" + name for name in os.listdir(path)]
        names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("user.overlay.")]
        xattrs = sorted((name, os.getxattr(path, name, follow_symlinks=False).hex()) for name in names)
        is_folder = stat.S_ISDIR(status.st_mode)
        found.append(
            [
                ascii(path[len(os.fsencode(root)) :]),
                oct(status.st_mode),
                status.st_uid,
                status.st_gid,
                0 if is_folder else status.st_size,
                0 if is_folder else status.st_nlink,
                status.st_mtime_ns if path != os.fsencode(root) else 0,  # which podman does not keep
                xattrs,
                content,
            ]
        )
    return json.loads(json.dumps(sorted(found, key=str)))  # type: ignore[no-any-return]


@pytest.fixture
def name(registry: Registry, tmp_path: Path) -> str:
    registry.push("peers:1", [gzip.compress(layer(tmp_path), 1, mtime=0)])
    return f"{registry.host}/peers:1"


@pytest.fixture
def ours(place: Place, name: str) -> list[list[object]]:
    place.write("auth.json", "{}")  # else peers look in a folder that belongs to whoever used such a tool first
    place.environ["REGISTRY_AUTH_FILE"] = f"{place.folder}/auth.json"
    image = place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc))
    (key,) = image.layer_keys
    unpacked = layers.folder_of(place.locations, key)
    if read_record(unpacked)["form"] != NATIVE:
        pytest.skip("layers are flat here: the test user has no subordinate IDs, or the disk refuses chown")
    found: list[list[object]] = place.in_parent(listed, f"{unpacked}/{layers.TREE}")
    return found


def test_umoci_unpacks_the_same(place: Place, name: str, ours: list[list[object]]) -> None:
    layout, bundle = f"{place.folder}/layout", f"{place.folder}/bundle"
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:1"]
    place.run(lambda: subprocess.run(copy, check=True, stdout=subprocess.DEVNULL) and None)
    unpack = ["umoci", "unpack", "--image", f"{layout}:1", bundle]
    place.in_parent(lambda: subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL) and None)
    try:
        assert place.in_parent(listed, f"{bundle}/rootfs") == ours
    finally:
        place.in_parent(lambda: shutil.rmtree(bundle))


def test_podman_unpacks_the_same(place: Place, name: str, ours: list[list[object]]) -> None:
    store = f"{place.folder}/podman"
    place.write("containers.conf", '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
    place.write("home/.keep", "")
    environ = {**place.environ, "XDG_RUNTIME_DIR": f"{place.folder}/run", "CONTAINERS_CONF": f"{place.folder}/containers.conf"}
    podman = ["podman", "--root", store, "--runroot", f"{place.folder}/run/p", "--storage-driver", "vfs"]
    command = [*podman, "pull", "-q", "--tls-verify=false", name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environ, cwd="/", **drop_privileges())
    try:
        (tree,) = os.listdir(f"{store}/vfs/dir") if os.getuid() == 0 else place.in_parent(os.listdir, f"{store}/vfs/dir")
        assert place.in_parent(listed, f"{store}/vfs/dir/{tree}") == ours
    finally:
        pause = place.folder / "run/libpod/tmp/pause.pid"  # the process that keeps podman's user namespace
        os.kill(int(pause.read_text()), signal.SIGKILL)
        place.in_parent(lambda: shutil.rmtree(store))
