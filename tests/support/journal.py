"""A real journald for tests, in a mount namespace of its own where it sees nothing of the node's, and an `rl` in there."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.support.engine import Engine, wait_until
from tests.support.test_user import USER

PROGRAM: Final = "/lib/systemd/systemd-journald"
_SOCKET: Final = "run/systemd/journal/socket"
# As booted with a persistent journal: each user may read their own part.
_PREPARE: Final = f"""
mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o mode=755 tmpfs /var/log
mkdir -p /run/systemd/journal /var/log/journal
touch /run/systemd/journal/flushed
tr -d - </proc/sys/kernel/random/uuid >/run/machine-id
[ ! -e /etc/machine-id ] || mount --bind /run/machine-id /etc/machine-id
exec {PROGRAM}
"""


class Journal:
    """A running journald; root only."""

    def __enter__(self) -> "Journal":
        self._process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", _PREPARE])
        wait_until((Path(f"/proc/{self._process.pid}/root") / _SOCKET).is_socket, what="journald listens")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def enter(self) -> list[str]:
        """Return what a command begins with that is to run where this journal is, as the test user."""
        as_user = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--init-groups", "--"]
        return ["nsenter", f"--mount=/proc/{self._process.pid}/ns/mnt", "--", *as_user]


class JournalEngine(Engine):
    """An engine whose commands see a journal."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        super().__init__(folder)
        self.journal = journal

    def wrapper(self) -> list[str]:
        """Enter the journal's mount namespace."""
        return self.journal.enter()
