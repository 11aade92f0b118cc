"""Symbolic links that an image, or a volume that a running container changes, puts in the way of mounts.

CVE-2021-30465 (targets of volumes), CVE-2019-19921 and CVE-2023-27561 (/proc as a link), CVE-2025-31133 (masks through /dev/null),
CVE-2025-52565 (/dev/console), CVE-2025-52881 (settings written to what only looks like /proc), CVE-2024-45310 (folders made
outside).
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import tars
from tests.support.engine import Engine
from tests.support.oci_bundle import Runtime, config
from tests.support.test_user import drop_privileges

from .conftest import import_image, root_file_system

NONE = ("--network", "none")
CORE_PATTERN = "/proc/sys/kernel/core_pattern"
CLIMB = "../" * 20


def image_with(engine: Engine, programs: Path, name: str, *entries: tars.Entry) -> None:
    """Import the hostile image with members in front of its own, which are left out where they have the same names."""
    taken = {info.name for info, _content in entries}
    import_image(engine, name, [*entries, *(entry for entry in root_file_system(programs) if entry[0].name not in taken)])


def outside(engine: Engine) -> Path:
    """A folder of the node that no container is given; absolute links of the images lead there."""
    folder = engine.folder / "outside"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    (folder / "file").write_text("untouched")
    (folder / "file").chmod(0o666)
    return folder


def check_untouched(folder: Path) -> None:
    assert [entry.name for entry in folder.iterdir()] == ["file"]
    assert (folder / "file").read_text() == "untouched"


def test_targets_that_are_links_out_of_the_root(hostile: Engine, programs: Path) -> None:
    node = outside(hostile)
    links = [
        tars.symlink("absolute", str(node)),
        tars.symlink("climbing", f"{CLIMB}{node}".replace("//", "/")),
        tars.symlink("magic", "/proc/self/root"),
        tars.symlink("etc/hosts", f"{node}/file"),
        tars.symlink("etc/resolv.conf", f"{node}/resolv.conf"),
    ]
    image_with(hostile, programs, "links", *links)
    shared = hostile.folder / "shared"
    script = "cat /proc/self/mountinfo"
    for target in ("/absolute", "/absolute/new/folder", "/climbing/new", "/dev/../absolute/x", "/etc/hosts/x"):
        ended = hostile.rl("run", "--rm", *NONE, "-v", f"{shared}:{target}", "links", "sh", "-c", script, check=None)
        # Upon a file of the image that a link leads to, no folder can be; all else is mounted, in the container.
        assert "/shared " in ended.stdout if "hosts" not in target else ended.status == 125, ended
        check_untouched(node)
    ended = hostile.rl("run", "--rm", *NONE, "-v", f"{shared}:/magic/x", "links", "true", check=None)
    assert (ended.status, "must not be followed" in ended.stderr) == (125, True)
    image_with(hostile, programs, "magic-links", tars.symlink("etc/hostname", "/proc/self/exe"))
    assert "must not be followed" in hostile.rl("run", "--rm", *NONE, "magic-links", "true", check=125).stderr
    ended = hostile.rl("run", "--rm", *NONE, "-w", "/absolute/deep", "links", "pwd", check=None)
    assert ended.stdout == f"{node}/deep\n"  # in the container
    check_untouched(node)


def test_targets_that_change_while_a_container_starts(hostile: Engine) -> None:
    """A container swaps a folder of a shared volume for a link, again and again, while others mount below it."""
    node = outside(hostile)
    shared, source = hostile.folder / "racing", hostile.folder / "source"
    volume = ("-v", f"{shared}:/vol")
    script = f"mkdir -p /vol/a/point; ln -s {node} /vol/b; chmod 777 /vol; exec /attacker swap /vol/a /vol/b 60"
    hostile.rl("run", "-d", "--name", "swapping", *volume, *NONE, "hostile", "sh", "-c", script)
    seen = set()
    for _attempt in range(15):
        arguments = ("run", "--rm", *NONE, *volume, "-v", f"{source}:/vol/a/point", "hostile", "cat", "/proc/self/mountinfo")
        ended = hostile.rl(*arguments, check=None)
        if ended.status == 0:
            (line,) = (line for line in ended.stdout.splitlines() if line.split()[3].endswith("/source"))
            seen.add(line.split()[4])
        else:
            assert "cannot mount" in ended.stderr
        check_untouched(node)
    # Where the link leads, in the container's root; never on the node. One that was moved meanwhile shows as such.
    assert all(point.startswith(("/vol/", f"{node}/")) for point in seen), seen


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_kernel_file_systems_upon_links(hostile: Engine, programs: Path, name: str) -> None:
    image_with(hostile, programs, f"link-{name}", tars.symlink(name, "/elsewhere"), tars.folder("elsewhere/sys"))
    ended = hostile.rl("run", "--rm", *NONE, f"link-{name}", "true", check=125)
    assert f"cannot mount /{name}: the image has no folder there" in ended.stderr


def test_masks_through_a_null_device_of_the_image(hostile: Engine, programs: Path) -> None:
    """The image's own /dev is covered, and /dev as a link leads to a folder that is covered then."""
    evil = [tars.folder("devices"), tars.symlink("devices/null", CORE_PATTERN)]
    image_with(hostile, programs, "null", tars.symlink("dev", "/devices"), *evil)
    script = "stat -c '%F %t,%T' /proc/keys /proc/timer_list /dev/null; cat /proc/keys; ls -A /sys/firmware; cat " + CORE_PATTERN
    lines = hostile.rl("run", "--rm", *NONE, "null", "sh", "-c", script).stdout.splitlines()
    assert lines == [*["character special file 1,3"] * 3, Path(CORE_PATTERN).read_text().rstrip("\n")]
    ended = hostile.rl("run", "--rm", *NONE, "null", "sh", "-c", f"echo x >{CORE_PATTERN}", check=1)
    assert "Read-only file system" in ended.stderr


@pytest.mark.parametrize("trap", ["ln -s {node}/file console", "mkfifo console", "mkdir console", "touch console"])
def test_a_console_in_a_hostile_dev(hostile: Engine, trap: str) -> None:
    """A folder that a container has prepared is /dev of another with a terminal; neither hangs, nor opens anything outside."""
    node = outside(hostile)
    shared = hostile.folder / f"dev-{trap.split(maxsplit=1)[0]}"
    script = f"cd /dev2; {trap.format(node=node)}; mkdir pts shm mqueue; ln -s {node}/file pts/ptmx; ln -s {node}/file null"
    hostile.rl("run", "--rm", *NONE, "-v", f"{shared}:/dev2", "hostile", "sh", "-c", script)
    mount = ("--mount", f"type=bind,source={shared},target=/dev")
    for options in (("-t",), ()):
        ended = hostile.rl("run", "--rm", *NONE, *options, *mount, "hostile", "true", check=None, timeout=20)
        assert ended.status in (0, 125), ended
        check_untouched(node)


def trap_by_link(dev: Path, node: Path) -> None:
    (dev / "console").symlink_to(node / "file")


def trap_by_fifo(dev: Path, _node: Path) -> None:
    os.mkfifo(dev / "console")


def trap_by_folder(dev: Path, _node: Path) -> None:
    (dev / "console").mkdir()


@pytest.mark.parametrize("trap", [trap_by_link, trap_by_fifo, trap_by_folder])
def test_a_console_where_a_bundle_s_dev_is_hostile(hostile: Engine, trap: Callable[[Path, Path], None]) -> None:
    """There, devpts is mounted into the folder of the user's, so that there is a terminal to show as the console."""
    node = outside(hostile)
    runtime = Runtime()
    listener = socket.socket(socket.AF_UNIX)
    try:
        path = runtime.folder / "console.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o777)
        dev = runtime.folder / "dev"
        (dev / "pts").mkdir(parents=True)
        trap(dev, node)
        spec = config("sleep", "100", terminal=True)
        spec["mounts"][1] = {"destination": "/dev", "type": "bind", "source": str(dev), "options": ["rbind"]}
        runtime.write(spec)
        # It succeeds or is refused, and does not wait for a writer of the FIFO.
        null = subprocess.DEVNULL
        created = runtime.start("create", "--console-socket", str(path), "one", stdin=null, stdout=null, stderr=null)
        assert created.wait(20) in (0, 1)
        check_untouched(node)
    finally:
        listener.close()
        runtime.close()


def test_a_setting_is_written_to_the_kernel_or_not_at_all(hostile: Engine) -> None:
    """Where /proc is not all the kernel's, as in a mount namespace that a config joins: a file that only looks like a setting."""
    fake = hostile.folder / "fake"
    (fake / "ipv4").mkdir(parents=True)
    (fake / "ipv4" / "ip_forward").write_text("untouched")
    (fake / "ipv4" / "ip_forward").chmod(0o666)
    script = "from rootless.runtime import sysctl; sysctl.write({'net/ipv4/ip_forward': '1'})"
    covered = f'mount --bind {fake} /proc/sys/net && exec {sys.executable} -I -c "{script}"'
    for shell, written in ((covered, False), (f'exec {sys.executable} -I -c "{script}"', True)):
        command = ["unshare", "-Urnm", "sh", "-c", shell]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, **drop_privileges())
        assert (ended.returncode == 0) == written, ended.stderr
        assert written or "cannot set '1'" in ended.stderr
    assert (fake / "ipv4" / "ip_forward").read_text() == "untouched"
