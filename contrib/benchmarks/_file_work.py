"""The data that the file system benchmark works on, made the same each time, and the work: shell scripts, one a row.

The programs are the node's, bound into the container read-only, so that only the data is on the file system that is measured.
"""

import io
import os
import random
import subprocess
import sysconfig
import tarfile
from typing import Final, NamedTuple

_FILES, _FOLDERS = 20_000, 200
_SOURCES = 200
_MODULES: Final = """asyncio concurrent.futures ctypes.util curses.ascii dbm.dumb email.mime.text encodings.idna html.parser
http.server importlib.metadata json.tool lib2to3.main logging.config multiprocessing.pool pydoc sqlite3.dbapi2 tarfile
unittest.mock urllib.robotparser wsgiref.simple_server xml.dom.minidom xml.sax.saxutils xmlrpc.server zipfile"""


class Work(NamedTuple):
    """A row: `prepare` is done first in the same container, and not measured."""

    name: str
    script: str
    prepare: str = ""
    warm: bool = False  # the goal is that of warm rows


def _warmed(name: str, script: str) -> tuple[Work, Work]:
    return Work(f"{name}, cold", script), Work(f"{name}, warm", script, script, warm=True)


_IMPORT: Final = (
    "python3 -I -S -B -c 'import importlib, sys; sys.path.insert(0, \"/data/pylib\"); "
    f"[importlib.import_module(name) for name in \"{' '.join(_MODULES.split())}\".split()]'"
)
_CREATE: Final = (
    "python3 -I -S -c 'import os, sys; where = sys.argv[1]; count = int(sys.argv[2]); os.mkdir(where); "
    "[os.close(os.open(f\"{where}/{n}\", os.O_CREAT | os.O_WRONLY)) for n in range(count)]; "
    "[os.stat(f\"{where}/{n}\") for n in range(count)]; [os.unlink(f\"{where}/{n}\") for n in range(count)]'"
)


def _fio(kind: str, size: str) -> str:
    options = f"--name=f --directory=/scratch --size=128m --ioengine=psync --bs={size} --rw={kind} --minimal"
    return f"fio {options} >/dev/null"


_LAY_OUT: Final = "fio --name=f --directory=/scratch --size=128m --ioengine=psync --bs=1m --rw=write --minimal >/dev/null"

WORKS: Final = (
    Work("untar 20,000 files", "tar -xf /data/tree.tar -C /scratch"),
    *_warmed("find+stat", "find /data/tree -printf '%s %m\\n' >/dev/null"),
    *_warmed("grep -r", "grep -r needle /data/tree >/dev/null || :"),
    *_warmed("python3 imports", _IMPORT),
    Work("compile 200 files", "make -s -B -j2 -C /data/project"),
    # git refuses what it hard-links on the kernel's overlay, which shows another inode then.
    Work("git clone+checkout", "git -c safe.directory='*' clone -q --no-hardlinks /data/repo /scratch/clone"),
    Work("dpkg unpack", "dpkg --root=/scratch/root --force-all --log=/dev/null --unpack /data/package.deb >/dev/null",
         "mkdir -p /scratch/root/var/lib/dpkg/updates /scratch/root/var/lib/dpkg/info; : >/scratch/root/var/lib/dpkg/status"),
    *(
        Work(f"{name} 128 MiB, {size}", _fio(kind, size), "" if kind == "write" else _LAY_OUT, warm=name.endswith("read"))
        for name, kind in (("write", "write"), ("read", "read"), ("random write", "randwrite"), ("random read", "randread"))
        for size in ("4k", "1m")
    ),
    Work("create, stat, unlink", f"{_CREATE} /scratch/files 5000"),
    Work("8 processes", f"for n in 1 2 3 4 5 6 7 8; do {_CREATE} /scratch/files$n 1000 & done; wait"),
)  # fmt: skip


def write_image(path: str, scratch: str) -> None:
    """Write a root file system as a tar: links to the node's programs, and /data."""
    tree = _write_tree(scratch)
    _write_project(f"{scratch}/project")
    _run("git", "init", "-q", f"{scratch}/repo")
    _run("cp", "-r", f"{scratch}/tree", f"{scratch}/repo/tree")
    # No gc.auto: it goes on in the background, and takes files away while they are read.
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0")
    _run("git", "-C", f"{scratch}/repo", "add", "-A")
    _run("git", "-C", f"{scratch}/repo", *identity, "commit", "-q", "-m", "data")
    _write_package(scratch)
    _run("cp", "-r", sysconfig.get_path("stdlib"), f"{scratch}/pylib")
    with tarfile.open(path, "w") as archive:
        for name in ("bin", "sbin", "lib", "lib64"):
            _link(archive, name, f"usr/{name}")
        for name in ("usr", "scratch", "tmp", "proc", "sys", "dev", "etc", "root", "data"):
            _folder(archive, name)
        _file(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        _file(archive, "etc/group", b"root:x:0:\n")
        archive.add(tree, "data/tree.tar", filter=_of_root)
        for name in ("tree", "project", "repo", "pylib", "package.deb"):
            archive.add(f"{scratch}/{name}", f"data/{name}", filter=_of_root)


def _write_tree(scratch: str) -> str:
    dice = random.Random(1)
    words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _word in range(2000)]
    for folder in range(_FOLDERS):
        os.makedirs(f"{scratch}/tree/{folder}")
    for number in range(_FILES):
        with open(f"{scratch}/tree/{number % _FOLDERS}/file-{number}", "wb") as file:
            file.write(b" ".join(dice.choices(words, k=dice.randint(20, 500))) + b"\n")
    _run("tar", "-cf", f"{scratch}/tree.tar", "-C", scratch, "tree")
    return f"{scratch}/tree.tar"


def _write_project(folder: str) -> None:
    os.mkdir(folder)
    with open(f"{folder}/all.h", "w") as header:
        header.write("#include <stdio.h>\n" + "".join(f"int f{number}(int);\n" for number in range(_SOURCES)))
    for number in range(_SOURCES):
        with open(f"{folder}/f{number}.c", "w") as source:
            after = f"f{number + 1}(x + {number})" if number + 1 < _SOURCES else "x"
            source.write(f'#include "all.h"\nint f{number}(int x) {{ return {after}; }}\n')
    with open(f"{folder}/Makefile", "w") as makefile:
        objects = " ".join(f"f{number}.o" for number in range(_SOURCES))
        makefile.write(f"all.a: {objects}\n\tar rcs $@ $^\n%.o: %.c all.h\n\tgcc -c -O0 -o $@ $<\n")


def _write_package(scratch: str) -> None:
    folder = f"{scratch}/package"
    os.makedirs(f"{folder}/DEBIAN")
    with open(f"{folder}/DEBIAN/control", "w") as control:
        control.write("Package: data\nVersion: 1\nArchitecture: all\nMaintainer: bench <bench@example.org>\nDescription: data\n")
    for number in range(20):
        _run("cp", "-r", f"{scratch}/tree/{number}", f"{folder}/{number}")
    _run("dpkg-deb", "-Znone", "-b", folder, f"{scratch}/package.deb")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _link(archive: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    archive.addfile(member)


def _folder(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(member)


def _file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
