"""What a process changes about itself: prctl(2), close_range(2), and its command line."""

import os
from typing import Final

from rootless.linux import libc
from rootless.linux.process import stat_fields

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36

# Index in /proc/PID/stat after the command name's closing parenthesis (proc(5): fields 48 and 49).
_ARGUMENTS_START_FIELD: Final = 45


def set_parent_death_signal(number: int) -> None:
    """Ask for a signal when the parent ends. A change of credentials clears it: call this after the last one."""
    libc.call("prctl", _PR_SET_PDEATHSIG, number, 0, 0, 0)


def become_subreaper() -> None:
    """Become the new parent of orphaned descendants."""
    libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_dumpable(dumpable: bool) -> None:
    """Open or close this process to ptrace and to /proc/PID/{mem,fd,root,exe} by others of the same user."""
    libc.call("prctl", _PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)


def set_name(name: bytes) -> None:
    """Set the name that `ps` and `top` show; at most 15 bytes are kept."""
    libc.call("prctl", _PR_SET_NAME, name, 0, 0, 0)


def set_command_line(text: bytes) -> None:
    """Replace what /proc/PID/cmdline shows, which may hold the user's secrets; what does not fit is cut off."""
    fields = stat_fields(os.getpid())
    assert fields is not None
    start, end = int(fields[_ARGUMENTS_START_FIELD]), int(fields[_ARGUMENTS_START_FIELD + 1])
    if 0 < start < end:
        libc.overwrite(start, text[: end - start - 1].ljust(end - start, b"\0"))


def close_all_except(keep: set[int]) -> None:
    """Close every descriptor that is not in `keep` (close_range(2), Linux 5.9)."""
    first = 0
    for descriptor in sorted(keep):
        _close_range(first, descriptor - 1)
        first = descriptor + 1
    _close_range(first, (1 << 32) - 1)


def _close_range(first: int, last: int) -> None:
    if first <= last:
        libc.system_call("close_range", libc.SYS_CLOSE_RANGE, first, last, 0)
