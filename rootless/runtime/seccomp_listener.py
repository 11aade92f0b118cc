"""SCMP_ACT_NOTIFY: a filter whose questions another process answers (config-linux.md, "Seccomp"; seccomp_unotify(2)).

Theory of operation. The process that installs the filter gets the listener, a descriptor. From then on every system call of its own
may be one that waits for an answer, sendmsg(2) included, while nobody has the listener yet who could answer. So before, it forks H,
a helper that shares its table of descriptors (CLONE_FILES) and is under no filter. The number of the listener goes to H through
shared memory, which takes no system call; H sends the descriptor on to the starter, which hands it to the agent at listenerPath.

    process                                   H                       starter                      agent
    clone(CLONE_FILES) ---------------------> waits for the number
    seccomp -> listener; memory[0] = number
    waitpid(H) (may wait for the agent)       sends `listener` -----> connects, sends state -----> answers from now on
                                              exits

H shares no memory but that page, and ends when the process does.
"""

import mmap
import os
import signal
import time
from typing import Final, NoReturn

from rootless.linux import libc, seccomp
from rootless.linux.own_process import set_parent_death_signal
from rootless.linux.sockets import socket
from rootless.runtime import channel

_CLONE_FILES: Final = 0x400
_SYS_CLONE: Final = {"x86_64": 56, "aarch64": 220, "riscv64": 220}
_NUMBER_SIZE: Final = 4  # bytes of the number in the page; 0: not there yet (0 is standard input), all ones: there will be none
_NEVER: Final = (1 << 32) - 1
_POLL_SECONDS: Final = 0.001


def install(program: bytes, flags: int, sync: socket) -> None:
    """Install a filter with a listener, and send that to the starter as the event `listener`. Raises `OSError`."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    helper = libc.system_call("clone", _SYS_CLONE[libc.MACHINE], _CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
    if helper == 0:
        _hand_over(page, sync)
    number = _NEVER
    try:
        number = seccomp.install(program, flags)
    finally:
        page[:_NUMBER_SIZE] = number.to_bytes(_NUMBER_SIZE, "little")
    os.waitpid(helper, 0)
    os.close(number)


def _hand_over(page: mmap.mmap, sync: socket) -> NoReturn:
    """Be H."""
    try:
        set_parent_death_signal(signal.SIGKILL)
        while not (number := int.from_bytes(page[:_NUMBER_SIZE], "little")):
            time.sleep(_POLL_SECONDS)
        if number != _NEVER:
            channel.send(sync, "listener", [number])
    finally:
        os._exit(0)
