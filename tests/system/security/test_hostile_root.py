"""`exec` into a root that a container has prepared, and starts in it: passwd and group as FIFOs, devices, links, huge files."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support import tars
from tests.support.engine import Engine, wait_until
from tests.support.test_user import USER

from .conftest import import_image, root_file_system

NONE = ("--network", "none")
CLIMB = "../" * 20

# What a container puts in the place of a file -> the words of the refusal; "" where it counts as a file without entries.
TRAPS = {
    "mkfifo {}": "not a regular file",
    "ln -s /dev/zero {}": "not a regular file",
    "ln -s /dev/full {}": "not a regular file",
    "ln -s /dev/pts/ptmx {}": "not a regular file",
    "ln -s {} {}": "Too many levels of symbolic links",
    "ln -s /proc/self/exe {}": "Too many levels of symbolic links",
    "ln -s /proc/self/fd/0 {}": "Too many levels of symbolic links",
    "mkdir {}": "not a regular file",
    "dd if=/dev/zero of={} bs=1 count=1 seek=1099511627776 2>/dev/null": "more than 8 MiB",
    "ln -s /proc/self/mem {}": "Permission denied",
    "ln -s /nowhere {}": "",
}


@pytest.fixture
def box(hostile: Engine) -> Engine:
    """An engine with a container `box` that sleeps."""
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")
    return hostile


class Puppet:
    """A container `puppet` that executes what the test tells it, without `exec`, which the traps are there to break."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._orders = engine.folder / "orders" / "next"
        loop = "while :; do [ -e /orders/next ] && { sh /orders/next; rm -f /orders/next; }; sleep 0.02; done 2>/dev/null"
        volume = f"{self._orders.parent}:/orders"
        engine.rl("run", "-d", "--name", "puppet", *NONE, "-v", volume, "hostile", "sh", "-c", loop)

    def order(self, script: str) -> None:
        """Have a script executed, and wait for that."""
        written = self._orders.with_name("written")
        written.write_text(script)
        written.rename(self._orders)
        wait_until(lambda: not self._orders.exists(), what=script)


@pytest.mark.parametrize("file", ["passwd", "group"])
def test_names_of_users_in_a_hostile_root(hostile: Engine, file: str) -> None:
    puppet = Puppet(hostile)
    user = "user" if file == "passwd" else "0:users"
    for trap, words in TRAPS.items():
        clean = f"cd /etc; rm -rf passwd group; echo 'user:x:5:5::/:/bin/sh' >passwd; rm -f {file}"
        puppet.order(f"{clean}; {trap.format(*[f'/etc/{file}'] * 2)}")
        ended = hostile.rl("exec", "-u", user, "puppet", "true", check=126, timeout=20)
        assert (words or "unable to find") in ended.stderr, (trap, ended.stderr)


def test_passwd_of_the_node_is_never_read(hostile: Engine, programs: Path) -> None:
    """By a link out of the root: a start meets the image's before it is in its root, so there it would be the node's file."""
    entries = [entry for entry in root_file_system(programs) if entry[0].name != "etc/passwd"]
    import_image(hostile, "passwd-link", [*entries, tars.symlink("etc/passwd", f"{CLIMB}etc/passwd")])
    ended = hostile.rl("run", "--rm", *NONE, "-u", "daemon", "passwd-link", "id", check=125)
    assert "cannot read the image's /etc/passwd: Too many levels" in ended.stderr  # it leads to itself, in the container's root


def test_passwd_behind_a_link_is_the_container_s(box: Engine) -> None:
    script = f"rm /etc/passwd; ln -s {CLIMB}etc/passwd- /etc/passwd; echo 'inside:x:7:7::/:' >/etc/passwd-"
    box.rl("exec", "box", "sh", "-c", script)
    assert box.rl("exec", "-u", "inside", "box", "id", "-u").stdout == "7\n"
    assert "unable to find user daemon" in box.rl("exec", "-u", "daemon", "box", "id", check=126).stderr


def test_a_start_in_a_root_that_became_hostile(hostile: Engine) -> None:
    """The second start of a container meets what the first has left."""
    script = "rm -rf /etc/passwd /tmp /bin/ls /proc/x; mkfifo /etc/passwd /etc/group; ln -s /dev/zero /tmp; ln -s / /bin/ls"
    hostile.rl("run", "--name", "one", *NONE, "hostile", "sh", "-c", script, check=None)
    assert "not a regular file" in hostile.rl("start", "-a", "one", check=1, timeout=20).stderr
    # The mount points of the first start are files and folders of the upper by then; what is in their place now, no container
    # could put there, but another engine's or the user's own hand.
    hostile.rl("run", "--name", "two", *NONE, "hostile", "rm", "-rf", "/tmp")
    root = hostile.data_root / "containers" / hostile.record("two")["Id"] / "upper"
    for name in ("etc", "dev"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "etc").mkdir()
    os.mkfifo(root / "etc" / "hosts")
    (root / "etc" / "resolv.conf").symlink_to("/")
    (root / "dev").symlink_to("/etc/hosts")
    for path in (root / "etc", root / "dev", root / "etc" / "hosts", root / "etc" / "resolv.conf"):
        os.lchown(path, USER.pw_uid, USER.pw_gid)
    assert hostile.rl("start", "-a", "two", check=1, timeout=20).stderr.startswith("rl: cannot mount")


def test_a_command_in_a_hostile_root(box: Engine) -> None:
    """Commands that are FIFOs, devices, loops of links and of interpreters: refused at once."""
    script = (
        "mkfifo -m 755 /fifo; ln -s /dev/zero /zero; ln -s /loop /loop; printf '#!/script\\n' >/script;"
        "printf '#!/fifo\\n' >/on-fifo; printf '#!/proc/self/fd/0\\n' >/on-stdin;"
        "chmod 755 /script /on-fifo /on-stdin; mkdir /folder"
    )
    box.rl("exec", "box", "sh", "-c", script)
    for command in ("/fifo", "/zero", "/loop", "/script", "/on-fifo", "/on-stdin", "/folder", "/dev/null", "/proc/self/mem"):
        assert box.rl("exec", "box", command, check=None, timeout=20).status in (126, 127), command


def test_a_terminal_in_a_hostile_root(box: Engine) -> None:
    """What a container's root can do to its /dev does not stop a terminal, nor lead it elsewhere."""
    script = "cd /dev; for file in *; do rm -rf $file; mv $file x-$file; ln -s /etc/passwd $file; done; mkfifo tty; ls >/dev/null"
    box.rl("exec", "box", "sh", "-c", script, check=None)
    assert box.rl("exec", "-t", "box", "sh", "-c", "test -t 0 && echo terminal", timeout=20).stdout == "terminal\n"
