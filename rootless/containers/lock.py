"""The lock that says who may run or change a container: one holder on all nodes that share the data root.

flock(2) where the file system has it (NFS turns it into a byte-range lock on the server). Where it refuses, a file made exclusively
with the node's name stands for the lock; a killed holder's is taken over on the same node only.
"""

import errno
import fcntl
import os
from typing import Self

from rootless.linux import stand_in
from rootless.linux.file_lock import REFUSED
from rootless.linux.process import ProcessId, identify

_FILE = "run.lock"
_STAND_IN = "run.lock.holder"


class ContainerLock:
    """The exclusive lock of one container's folder; held until `release`, or the end of the last process that inherited it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._descriptor = -1
        self._stand_in = False

    @classmethod
    def taken_over(cls, folder: str, descriptor: int) -> Self:
        """Return the lock of another process, by a duplicate of its descriptor."""
        lock = cls(folder)
        lock._descriptor = descriptor
        return lock

    def acquire(self) -> bool:
        """Take the lock; False when somebody else has it. Raises `FileNotFoundError` when the container is gone."""
        descriptor = os.open(f"{self._folder}/{_FILE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EWOULDBLOCK:
                return False
            if error.errno in REFUSED:
                return self._acquire_stand_in()
            raise
        self._descriptor = descriptor
        return True

    @property
    def descriptor(self) -> int:
        """The locked descriptor, which a child may inherit to hold the lock on; -1 with a stand-in."""
        return self._descriptor

    def pass_on(self, pid: int) -> None:
        """Let a forked child hold the lock alone, which has inherited this object."""
        if self._stand_in:
            self._name_holder(identify(pid))
            self._stand_in = False
        self.release()

    def take_over(self) -> None:
        """Be the holder, as such a child: our parent may be killed before it says so."""
        if self._stand_in:
            self._name_holder(identify(os.getpid()))

    def release(self) -> None:
        """Let go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._stand_in:
            stand_in.drop(f"{self._folder}/{_STAND_IN}")
            self._stand_in = False

    def _acquire_stand_in(self) -> bool:
        self._stand_in = stand_in.take(f"{self._folder}/{_STAND_IN}")
        return self._stand_in

    def _name_holder(self, process: ProcessId) -> None:
        new = f"{self._folder}/{_STAND_IN}.{os.getpid()}"
        with open(new, "wb") as file:
            file.write(stand_in.holder(process))
        os.rename(new, f"{self._folder}/{_STAND_IN}")
