"""A container's terminal: a pseudo-terminal of the container's own devpts (kernel doc filesystems/devpts.rst)."""

import contextlib
import fcntl
import os
import struct
import termios
from typing import Final, NamedTuple

from rootless.linux import mounts
from rootless.linux.openat2 import open_in_root

_TIOCSPTLCK: Final = 0x40045431
_TIOCGPTPEER: Final = 0x5441
_PTMX_DEVICE: Final = os.makedev(5, 2)


class Terminal(NamedTuple):
    """Both ends of a pseudo-terminal; the caller closes them."""

    master: int
    slave: int


def open_terminal(root: int, uid: int) -> Terminal:
    """Open a new pseudo-terminal in the devpts of the root that `root` refers to; the slave belongs to `uid`.

    The slave is taken from the master (TIOCGPTPEER), never by a path that the container could replace.
    """
    master = open_in_root(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW)
    if os.fstat(master).st_rdev != _PTMX_DEVICE:
        os.close(master)
        raise OSError(19, "not a pseudo-terminal multiplexer", "/dev/pts/ptmx")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if uid != 0:
        os.fchown(slave, uid, -1)
    return Terminal(master, slave)


def bind_console(root: int, slave: int) -> None:
    """Show the slave as /dev/console, too."""
    dev = open_in_root(root, "/dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        target = _open_target(dev)
        tree = mounts.clone_tree(f"/proc/self/fd/{slave}", recursive=False)
        mounts.attach_tree(tree, target, "/dev/console")
        os.close(tree)
        os.close(target)
    finally:
        os.close(dev)


def _open_target(dev: int) -> int:
    """Return what /dev/console is mounted upon, made where it is missing; a link there is not followed.

    It is opened by O_PATH: in a /dev of the user's it may be a FIFO, which a plain open would wait for.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open("console", os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600, dir_fd=dev))
    return os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev)


def make_controlling(slave: int) -> None:
    """Make the slave the controlling terminal and the standard streams of the caller, which leads a session."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for stream in range(3):
        os.dup2(slave, stream)


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Set the window size, which sends SIGWINCH to the foreground process group."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
