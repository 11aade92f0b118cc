"""Who has which name: one symbolic link a name in the data root's `names`, whose target is the container's ID.

Theory of operation. Making the link claims the name: symlink(2) replaces nothing, so a new name needs no lock. A link is good where
the record of its target has that name, or has none yet because it is being made: then its maker holds the container's lock, which
was taken before the claim. Any other link is what a command that was killed left, and whoever meets it removes it.

Links are removed under `names.lock` (flock) only, after a look at their target: between that look and unlink(2), another command
could else remove the same link and claim the name, and lose it. A rename holds that lock from the claim of the new name over the
record to the end of the old one, so that nobody takes its two links for what a killed one left. The lock is the last one that is
taken, and held for no longer than a record takes to be written.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Final

from rootless.containers import documents
from rootless.containers.documents import Document
from rootless.containers.lock import ContainerLock
from rootless.errors import DamagedRecord, InUse, InvalidInput
from rootless.linux import file_lock
from rootless.locations import Locations

_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_LONGEST: Final = 200
ID_LENGTH: Final = 64


class NameClaims:
    """The names of the containers in `locations`."""

    def __init__(self, locations: Locations) -> None:
        self._locations = locations

    def holder_of(self, name: str) -> str | None:
        """Return the ID of the container that has a name, or is being made with it; None where there is none."""
        self._restore()
        holder = self._target(name)
        if holder is None or self._is_written(name, holder):
            return holder
        with self._locked():
            return self._remove_unless_good(name)

    def claim(self, name: str, container_id: str) -> None:
        """Claim a name for a container whose lock the caller holds. Raises `InvalidInput`, or `InUse` when it is another's."""
        check_name(name)
        self._restore()
        os.makedirs(self._locations.names, 0o700, exist_ok=True)
        try:
            os.symlink(container_id, self._path(name))
        except FileExistsError:
            with self._locked():
                self._claim_locked(name, container_id)

    def release(self, name: str, container_id: str) -> None:
        """Give a name up, if the container has it."""
        with self._locked():
            if self._target(name) == container_id:
                self._unlink(name)

    def release_all(self, container_id: str) -> None:
        """Give up whatever leads to a container whose record cannot be read."""
        for name in os.listdir(self._locations.names):
            self.release(name, container_id)

    def move(self, document: Document, new_name: str, write: Callable[[], None]) -> None:
        """Give a container another name; `write` writes its document, which is changed.

        Raises `InvalidInput`, `InUse`, and what `write` raises; nothing is changed then.
        """
        check_name(new_name)
        self._restore()
        with self._locked():
            self._claim_locked(new_name, document["Id"])
            before, document["Name"] = document["Name"], f"/{new_name}"
            try:
                write()
            except OSError:
                document["Name"] = before
                self._unlink(new_name)
                raise
            if self._target(before.lstrip("/")) == document["Id"]:
                self._unlink(before.lstrip("/"))

    def _claim_locked(self, name: str, container_id: str) -> None:
        while (holder := self._remove_unless_good(name)) is None:
            with contextlib.suppress(FileExistsError):  # claimed just now: a command that meets no link takes no lock
                os.symlink(container_id, self._path(name))
                return
        raise InUse(
            f'the container name "{name}" is already in use by container {holder}',
            f"remove that container (rl rm {name}) or choose another name",
        )

    def _remove_unless_good(self, name: str) -> str | None:
        """Return who has a name; a link that a killed command left is removed. The caller holds the lock."""
        holder = self._target(name)
        if holder is None or self._is_written(name, holder) or self._is_being_made(name, holder):
            return holder
        self._unlink(name)
        return None

    def _is_written(self, name: str, holder: str) -> bool:
        """Tell whether the record of a container has the name; a damaged one keeps what leads to it."""
        try:
            return documents.read(self._folder(holder))["Name"] == f"/{name}"
        except (FileNotFoundError, NotADirectoryError):
            return False
        except DamagedRecord:
            return True

    def _is_being_made(self, name: str, holder: str) -> bool:
        folder = self._folder(holder)
        if os.path.exists(f"{folder}/{documents.FILE}"):
            return self._is_written(name, holder)  # just written
        lock = ContainerLock(folder)
        try:
            # Free: its maker was killed, or has written the record since, and let go.
            return not lock.acquire() or self._is_written(name, holder)
        except FileNotFoundError:
            return False
        finally:
            lock.release()

    def _restore(self) -> None:
        """Make the folder of names again from the records, should it be lost."""
        if os.path.isdir(self._locations.names) or not os.path.isdir(self._locations.containers):
            return
        with self._locked():
            if os.path.isdir(self._locations.names):
                return  # another command was faster
            made = f"{self._locations.names}.new"
            os.makedirs(made, 0o700, exist_ok=True)
            for container_id in ids_of(self._locations):
                with contextlib.suppress(FileNotFoundError, FileExistsError, DamagedRecord):  # no name to be had from that
                    os.symlink(container_id, f"{made}/{documents.read(self._folder(container_id))['Name'].lstrip('/')}")
            try:
                os.rename(made, self._locations.names)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # a claim made the folder, and has begun to fill it
                    raise

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return file_lock.locked(f"{self._locations.data_root}/names.lock")

    def _target(self, name: str) -> str | None:
        try:
            return os.readlink(self._path(name))
        except OSError:  # ENOENT, or EINVAL of a folder's own entry such as ".."
            return None

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody removed the whole folder
            os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._locations.names}/{name}"

    def _folder(self, container_id: str) -> str:
        return f"{self._locations.containers}/{container_id}"


def ids_of(locations: Locations) -> Iterator[str]:
    """Yield the IDs of all containers, and of folders whose container is being made."""
    with contextlib.suppress(FileNotFoundError):
        yield from (name for name in os.listdir(locations.containers) if len(name) == ID_LENGTH)


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` is one that Docker takes: [a-zA-Z0-9][a-zA-Z0-9_.-]+."""
    if len(name) < 2 or name[0] in "_.-" or not set(name) <= _CHARACTERS or len(name) > _LONGEST:
        raise InvalidInput(f'invalid container name "{name}"', "allowed are [a-zA-Z0-9][a-zA-Z0-9_.-], two characters at least")
