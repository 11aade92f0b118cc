"""A hostile image: static busybox, and programs of its own that attack the engine and the node (attacker.c, loader.c)."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.images.busybox import applets_of
from tests.support import tars
from tests.support.engine import Engine, check_and_remove, copy_store, make_folder, wait_until

SOURCES = Path(__file__).parent
# Where the node's own python looks for its dynamic linker (x86-64).
LINKER = "lib64/ld-linux-x86-64.so.2"
PASSWD = b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"


def root_file_system(programs: Path) -> list[tars.Entry]:
    """Return the members of the hostile image's root."""
    executable = {name: (programs / name).read_bytes() for name in ("attacker", "loader")}
    entries = [tars.file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)]
    entries += [tars.symlink(applet, "/bin/busybox") for applet in applets_of("/bin/busybox") if applet != "bin/busybox"]
    entries += [tars.file("attacker", executable["attacker"], mode=0o755)]
    entries += [tars.file(LINKER, executable["loader"], mode=0o755)]
    entries += [tars.folder("tmp", mode=0o1777), tars.file("etc/passwd", PASSWD)]
    return entries


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled programs."""
    folder = tmp_path_factory.mktemp("programs")
    freestanding = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-no-pie", "-Wl,-Ttext-segment=0x70000000")
    for name, options in (("attacker", ()), ("loader", freestanding)):
        command = ["gcc", "-O1", "-static", "-Wall", "-Werror", *options, "-o", str(folder / name), str(SOURCES / f"{name}.c")]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="session")
def hostile_engine(busybox_store: Path, programs: Path) -> Iterator[Engine]:
    """One engine with the image `hostile` for the whole folder."""
    engine = Engine(make_folder())
    copy_store(busybox_store, engine.data_root)
    import_image(engine, "hostile", root_file_system(programs))
    yield engine
    check_and_remove(engine)


@pytest.fixture
def hostile(hostile_engine: Engine) -> Iterator[Engine]:
    """That engine without containers; what a test makes of them goes with it."""
    yield hostile_engine
    names = hostile_engine.rl("ps", "-aq").stdout.split()
    if names:
        hostile_engine.rl("rm", "-f", *names)
    wait_until(lambda: not hostile_engine.processes(), what="no process is left of the test")


def import_image(engine: Engine, name: str, entries: list[tars.Entry], *changes: str) -> None:
    """Import an image of these members; `changes` are instructions of a Dockerfile."""
    path = engine.folder / f"{name}.tar"
    path.write_bytes(tars.make(entries))
    path.chmod(0o644)
    options = [option for change in changes for option in ("--change", change)]
    engine.rl("import", *options, str(path), name)
