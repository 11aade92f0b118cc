"""A hostile image: Python's library, the engine's modules, passwd and nsswitch poisoned. Nothing of it may run in the engine."""

import io
import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")
# Whatever imports one of the image's modules leaves this trace, in the container and on the node.
EVIL = b"open('/PWNED', 'a').write(__name__)\nopen('/var/tmp/PWNED', 'a').write(__name__)\n"


def _hostile_tar() -> bytes:
    """Return a root file system with every module that the engine could import, at every path where it could look."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        _add(tar, "bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
        for applet in ("sh", "cat", "ls", "id", "ps", "sleep", "test"):
            _add_link(tar, f"bin/{applet}", "busybox")
        for name in _module_paths():
            _add(tar, name, EVIL, 0o644)
        records = [b"root:x:0:0:root:/root:/bin/sh", b"+::::::", b"huge:x:99999999999999999999:0::/:", b"minus:x:-1:-1::/:"]
        records += [b"nul:x:1\0:1::/:", b"a" * 300_000, b"plain:x:1000:1000::/home/plain:/bin/sh"]
        _add(tar, "etc/passwd", b"\n".join(records) + b"\n", 0o644)
        _add(tar, "etc/nsswitch.conf", b"passwd: evil\ngroup: evil\nhosts: evil\n", 0o644)
        _add(tar, "lib/x86_64-linux-gnu/libnss_evil.so.2", b"not a library", 0o755)
    return stream.getvalue()


def _module_paths() -> set[str]:
    library = Path(sysconfig.get_path("stdlib"))
    modules = [path.relative_to(library) for path in (*library.glob("*.py"), *library.glob("encodings/*.py"))]
    folders = [entry for entry in sys.path if entry.startswith("/") and os.path.isdir(entry)]
    packages = ("slirp_net", "fuse_overlay", "rootless", "cli")
    engine = [f"{package}/{name}.py" for package in packages for name in ("__init__", "__main__")]
    paths = {f"{library}/{module}".lstrip("/") for module in modules}
    for folder in ("", *folders):
        paths |= {f"{folder}/{module}".lstrip("/") for module in engine}
    return paths


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    tar.addfile(member)


@pytest.fixture
def hostile(engine: Engine) -> Engine:
    """An engine with the hostile image imported as `hostile`."""
    path = engine.folder / "hostile.tar"
    path.write_bytes(_hostile_tar())
    path.chmod(0o644)
    engine.rl("import", str(path), "hostile")
    yield engine
    assert not Path("/var/tmp/PWNED").exists()


@pytest.mark.parametrize("options", [(), ("--init",), ("-u", "plain"), ("--init", "-u", "plain")])
@pytest.mark.parametrize(
    ("command", "status"), [(("sh", "-c", "ls /PWNED; test ! -e /PWNED"), 0), (("nosuch",), 127), (("/etc/passwd",), 126)]
)
def test_run(hostile: Engine, options: tuple[str, ...], command: tuple[str, ...], status: int) -> None:
    hostile.rl("run", "--rm", *NONE, *options, "hostile", *command, check=status)


@pytest.mark.parametrize("user", ["huge", "minus", "nul", "nosuch"])
def test_run_as_a_user_of_the_poisoned_passwd(hostile: Engine, user: str) -> None:
    assert "unable to find user" in hostile.rl("run", "--rm", *NONE, "-u", user, "hostile", "id", check=125).stderr


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_exec(hostile: Engine, options: tuple[str, ...]) -> None:
    hostile.rl("run", "-d", "--name", "box", *NONE, *options, "hostile", "sleep", "1000")
    hostile.rl("exec", "box", "nosuch", check=127)
    hostile.rl("exec", "-u", "plain", "box", "sh", "-c", "exit 4", check=4)
    hostile.rl("exec", "-u", "nosuch", "box", "id", check=126)
    hostile.rl("exec", "-w", "/nosuch", "box", "id", check=126)
    hostile.rl("exec", "box", "test", "!", "-e", "/PWNED")


def test_init_is_closed_to_the_container_s_root(hostile: Engine) -> None:
    hostile.rl("run", "-d", "--init", "--name", "box", *NONE, "hostile", "sleep", "1000")
    for path in ("/proc/1/mem", "/proc/1/environ", "/proc/1/maps"):
        assert hostile.rl("exec", "box", "cat", path, check=1).stdout == ""
    assert hostile.rl("exec", "box", "ls", "/proc/1/fd", "/proc/1/root/", check=None).stdout.strip() in ("", "/proc/1/fd:")
    assert "RL_ROOT" not in hostile.rl("exec", "box", "sh", "-c", "cat /proc/*/environ", check=None).stdout


def test_python_would_run_the_image_s_files_if_it_were_let() -> None:
    """The trap is real: an interpreter in that root would fall into it."""
    script = "import sys; sys.path[:] = [sys.argv[1]]; import textwrap"
    trap = Path("/var/tmp") / f"rlt-trap-{os.getpid()}"
    trap.mkdir()
    try:
        (trap / "textwrap.py").write_text("raise SystemExit(77)")
        (trap / "textwrap.py").chmod(0o644)
        ended = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", script, str(trap)], check=False, **drop_privileges())
        assert ended.returncode == 77
    finally:
        (trap / "textwrap.py").unlink()
        trap.rmdir()
