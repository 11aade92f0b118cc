"""`rl export`: what the container sees, whatever the driver, while it runs and afterwards; and the same as podman's."""

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support import tars
from tests.support.archives import docker_files, tar_of
from tests.support.engine import COMMAND, Engine, wait_until
from tests.support.registries import build_image
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

NONE = ("--network", "none")
CAPABILITY = "\x01\0\0\x02\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0"  # CAP_NET_RAW
LONG = "/".join(["long" * 20] * 4)
BASE = [
    tars.folder("bin"),
    tars.file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755),
    *(tars.hard_link(f"bin/{name}", "bin/busybox", mode=0o755) for name in ("sh", "sleep", "ping")),
    tars.folder("etc", mode=0o751, uid=3, gid=4),
    tars.file("etc/kept", b"kept", uid=33, gid=65534, mode=0o4755, mtime=77),
    tars.file("etc/changed", b"old"),
    tars.file("etc/gone", b"gone"),
    tars.symlink("etc/link", "kept", uid=5),
    tars.folder("lower/a"),
    tars.file("lower/a/hidden"),
    tars.folder("lower/b"),
    tars.file("lower/b/seen"),
    tars.file("capable", b"x", pax_headers={"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.own": "1"}),
    tars.file(LONG, b"far"),
    (tars.member("pipe", tarfile.FIFOTYPE), b""),
]
TOP = [
    tars.file("etc/.wh.gone"),
    tars.file("lower/a/.wh..wh..opq"),
    tars.file("lower/a/new", b"new"),
    tars.file("etc/changed", b"newer"),
]
LAYERS = [tars.make(BASE), tars.make(TOP)]
IMAGE = build_image(LAYERS, config={"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
CHANGES = """
set -e
busybox rm /etc/kept; busybox mkdir /made; echo hello > /made/file; busybox ln /made/file /made/twin
busybox chown 12:34 /made/file; busybox chmod 4711 /made/twin; busybox ln -s ../x /made/sym; busybox mkfifo /made/fifo
busybox touch -d '2001-02-03 04:05:06' /made/file; busybox rm -r /lower/b; busybox mkdir /lower/b; echo z > /lower/b/z
busybox dd if=/dev/zero of=/made/big bs=1M count=3 2>/dev/null; busybox mv /made/big /lower/big
"""
MADE_BY_ENGINES = {"dev", "proc", "sys", "run", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "."}


@pytest.fixture
def loaded(engine_with_driver: Engine) -> Engine:
    archive = engine_with_driver.folder / "image.tar"
    archive.write_bytes(tar_of(docker_files(IMAGE, LAYERS, ["exported:1"])))
    engine_with_driver.rl("load", "-q", "-i", str(archive))
    return engine_with_driver


def exported(engine: Engine, container: str) -> dict[str, tuple[Any, ...]]:
    """Export to standard output, and return what the tar holds."""
    done = subprocess.run(
        [*COMMAND, "export", container], env=engine.environment, cwd=engine.folder, capture_output=True, timeout=60, check=False,
        **drop_privileges(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    return entries(done.stdout)


def entries(archive: bytes) -> dict[str, tuple[Any, ...]]:
    """Return kind, mode, owner, time, xattrs and content of every member; of files with several names without their first."""
    found: dict[str, tuple[Any, ...]] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            content = None if info.issym() else tar.extractfile(info)
            data = content.read() if content is not None else info.linkname.encode()
            xattrs = sorted((key, value) for key, value in info.pax_headers.items() if "xattr" in key)
            kind = tarfile.REGTYPE if info.islnk() else info.type
            size = 0 if kind == tarfile.DIRTYPE else len(data)
            assert info.name not in found
            owner = (info.mode & 0o7777, info.uid, info.gid)
            found[info.name] = (kind, *owner, int(info.mtime), size, data, [] if info.islnk() else xattrs)
    return found


def test_what_the_container_changed(loaded: Engine) -> None:
    loaded.rl("run", *NONE, "--name", "one", "exported:1", "sh", "-c", CHANGES)
    files = exported(loaded, "one")
    assert {"etc/kept", "etc/gone", "lower/a/hidden", "lower/b/seen", "made/big"} & set(files) == set()
    assert files["etc/changed"][6] == b"newer"
    assert files["lower/a/new"][6] == b"new"
    assert files["lower/b/z"][6] == b"z\n"
    assert files["lower/big"][5] == 3 << 20
    assert files["made/sym"][6] == b"../x"
    assert files["made/fifo"][0] == tarfile.FIFOTYPE
    kind, mode, uid, gid, mtime, _, data, _ = files["made/twin"]
    assert (kind, mode, uid, gid, mtime, data) == (tarfile.REGTYPE, 0o4711, 12, 34, 981173106, b"hello\n")
    assert files[LONG][6] == b"far"
    # What comes out goes in again.
    loaded.rl("export", "-o", str(loaded.folder / "home/root.tar"), "one")
    loaded.rl("import", str(loaded.folder / "home/root.tar"), "again")
    loaded.rl("run", *NONE, "--name", "two", "again", "/bin/busybox", "true")
    again = exported(loaded, "two")
    assert {name: entry for name, entry in again.items() if name not in MADE_BY_ENGINES} == {
        name: entry for name, entry in files.items() if name not in MADE_BY_ENGINES
    }


def test_while_it_runs(loaded: Engine) -> None:
    loaded.rl("run", *NONE, "-d", "--name", "busy", "exported:1", "sh", "-c", f"{CHANGES} echo done > /done; exec sleep 60")
    wait_until(lambda: "done" in exported(loaded, "busy"), what="the container has made its changes")
    files = exported(loaded, "busy")
    assert files["made/file"][6] == b"hello\n"
    assert files["lower/big"][5] == 3 << 20
    assert loaded.state("busy")["Running"]
    loaded.rl("rm", "-f", "busy")


def test_podman_exports_the_same(engine: Engine) -> None:
    archive = engine.folder / "image.tar"
    archive.write_bytes(tar_of(docker_files(IMAGE, LAYERS, ["example.com/exported:1"])))
    podman = ["podman", f"--root={engine.folder}/graph", f"--runroot={engine.folder}/graph-run", "--storage-driver=vfs"]
    subprocess.run([*podman, "load", "-q", "-i", str(archive)], check=True, capture_output=True, timeout=60)
    created = subprocess.run([*podman, "create", "example.com/exported:1"], check=True, capture_output=True, timeout=60)
    theirs = entries(subprocess.run([*podman, "export", created.stdout.decode().strip()], check=True, capture_output=True).stdout)
    engine.rl("load", "-q", "-i", str(archive))
    engine.rl("run", *NONE, "--name", "one", "example.com/exported:1", "sh", "-c", ":")
    ours = exported(engine, "one")
    assert set(ours) - MADE_BY_ENGINES == set(theirs) - MADE_BY_ENGINES
    for name in set(theirs) - MADE_BY_ENGINES:
        # Times of folders that a tar left out are whatever the clock said.
        compared = slice(0, 4) if theirs[name][0] == tarfile.DIRTYPE else slice(0, 8)
        assert ours[name][compared] == theirs[name][compared], name


def test_a_terminal_and_an_unknown_container_are_refused(engine: Engine) -> None:
    primary, secondary = os.openpty()
    with open(secondary, "wb"), open(primary, "rb"):
        process = engine.start("export", "x", stdout=secondary, stderr=subprocess.PIPE)
        _, text = process.communicate(timeout=30)
    assert (process.returncode, "will not write a tar to the terminal" in text) == (1, True)
    missing = engine.rl("export", "-o", str(engine.folder / "home/x.tar"), "nothing", check=None)
    assert "No such container: nothing" in missing.stderr
    assert list((engine.folder / "home").iterdir()) == []
