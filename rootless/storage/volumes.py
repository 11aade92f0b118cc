"""Volumes: folders with a life of their own, which containers mount.

    volumes/NAME/volume.json    its record: Docker's CreatedAt, Driver, Labels, Options
    volumes/NAME/_data          what containers see; its files carry subordinate IDs
    volumes/NAME/copying        only while files of an image are being copied into it (`copy_up`)
    volumes/.new-…              being made; whole, it is renamed to its name, which claims that: a folder replaces no full one
    volumes.lock                flock: held to make a container's record that names volumes, and to remove a volume that none names

So a container that was made has its volumes, and a volume that was removed had no user. Readers take no lock.
"""

import contextlib
import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless import events
from rootless.errors import DamagedRecord, InUse, InvalidInput, NoSuchObject
from rootless.images.layout import replace_file
from rootless.linux import file_lock
from rootless.locations import Locations
from rootless.storage import unfinished
from rootless.storage.volume_options import parse_options

ANONYMOUS: Final = "com.docker.volume.anonymous"
"""The label that Docker gives to volumes without a name of the user's."""

RECORD: Final = "volume.json"
DATA: Final = "_data"
DRIVER: Final = "local"

_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MAX_NAME: Final = 255  # NAME_MAX

UsersOf = Callable[[], Mapping[str, list[str]]]
"""Returns by the name of a volume the IDs of the containers that have it, running or not."""


class Volume(NamedTuple):
    """One volume; `created` is RFC 3339."""

    name: str
    created: str
    labels: dict[str, str]
    options: dict[str, str]
    folder: str

    @property
    def mountpoint(self) -> str:
        """Where its files are on the node."""
        return f"{self.folder}/{DATA}"

    @property
    def is_anonymous(self) -> bool:
        """Whether it was made without a name of the user's."""
        return ANONYMOUS in self.labels


class VolumeStore:
    """The volumes of one data root."""

    def __init__(self, locations: Locations) -> None:
        self._locations = locations

    def names(self) -> list[str]:
        """Return the names of all volumes, sorted; reads no record."""
        try:
            return sorted(name for name in os.listdir(self._locations.volumes) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def find(self, name: str) -> Volume | None:
        """Return a volume by its name, or None. Raises `DamagedRecord`."""
        if "/" in name or name.startswith("."):
            return None
        folder = f"{self._locations.volumes}/{name}"
        try:
            with open(f"{folder}/{RECORD}", "rb") as file:
                record = json.loads(file.read())
            return Volume(name, str(record["CreatedAt"]), dict(record["Labels"] or {}), dict(record["Options"] or {}), folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError):
            hint = f"its files are in {folder}/{DATA}; remove it: rl volume rm {name}"
            raise DamagedRecord(f"the record of volume {name} is damaged: {folder}/{RECORD}", hint) from None

    def get(self, name: str) -> Volume:
        """Return a volume by its name. Raises `NoSuchObject`."""
        volume = self.find(name)
        if volume is None:
            raise NoSuchObject(f"No such volume: {name}", "`rl volume ls` lists them")
        return volume

    def list(self, on_damaged: Callable[[DamagedRecord], None] = lambda _error: None) -> list[Volume]:
        """Return all volumes by name; one that vanishes meanwhile is left out, one that is damaged `on_damaged` is told of."""
        found = []
        for name in self.names():
            try:
                volume = self.find(name)
            except DamagedRecord as error:
                on_damaged(error)
                continue
            if volume is not None:
                found.append(volume)
        return found

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the volumes' lock, shortly; taken after the image store's."""
        os.makedirs(self._locations.data_root, 0o700, exist_ok=True)
        with file_lock.locked(f"{self._locations.data_root}/volumes.lock"):
            yield

    def create(self, name: str | None, labels: Mapping[str, str], options: Mapping[str, str]) -> Volume:
        """Make a volume, without a name an anonymous one; one that is there already is returned, as in Docker.

        Raises `InvalidInput`, and `InUse` where the one that is there has other options.
        """
        parse_options(options)
        labels = dict(labels)
        if name is None:
            name = secrets.token_hex(32)
            labels[ANONYMOUS] = ""
        check_name(name)
        wanted = Volume(name, _now(), labels, dict(options), f"{self._locations.volumes}/{name}")
        existing = self.find(name)
        while existing is None:  # again only where one vanishes between another's making it and our looking
            if self._make(wanted):
                events.emit(self._locations, "volume", "create", name, {"driver": DRIVER})
                existing = wanted
            else:
                existing = self.find(name)
        if options and dict(options) != existing.options:
            hint = f"remove it first (rl volume rm {name}), or choose another name"
            raise InUse(f"a volume {name} exists, with other options", hint)
        return existing

    def remove(
        self,
        name: str,
        users_of: UsersOf,
        may_go: Callable[[Volume], bool] = lambda _volume: True,
        into: str | None = None,
    ) -> str | None:
        """Remove a volume that no container has; returns where it went in the trash, for `trash.delete`.

        `into` is a folder of the trash that it is to go with. None where `may_go`, asked under the lock, does not let it.
        Raises `NoSuchObject`, `InUse`.
        """
        from rootless.storage import trash  # with the worker: not for who only reads

        with self.locked():
            try:
                if not may_go(self.get(name)):
                    return None
            except DamagedRecord:
                pass  # removing it is what is left
            users = users_of().get(name)
            if users:
                raise InUse(
                    f"remove {name}: volume is in use - [{', '.join(users)}]",
                    f"remove the containers first: rl rm {' '.join(user[:12] for user in users)}",
                )
            place = f"{into}/" if into else ""
            trashed = trash.throw_away(
                self._locations, f"{self._locations.volumes}/{name}", f"{place}volume-{secrets.token_hex(8)}"
            )
        if trashed is None:
            raise NoSuchObject(f"No such volume: {name}", "another command has just removed it")
        events.emit(self._locations, "volume", "destroy", name, {"driver": DRIVER})
        return trashed

    def _make(self, volume: Volume) -> bool:
        """Make a volume whole under another name and rename it; False where somebody else made it just now."""
        record = {"CreatedAt": volume.created, "Driver": DRIVER, "Labels": volume.labels or None, "Options": volume.options or None}
        new = unfinished.make(self._locations.volumes)
        try:
            replace_file(f"{new}/{RECORD}", json.dumps(record).encode())
            os.mkdir(f"{new}/{DATA}")
            os.chmod(f"{new}/{DATA}", 0o755)  # noqa: S103 - all users of a container may enter; mkdir's mode is cut by the umask
            os.rename(new, volume.folder)
        except OSError as error:
            unfinished.discard(new)
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return False
        return True


def inspect_document(volume: Volume) -> dict[str, Any]:
    """Return the JSON object of `docker volume inspect`."""
    return {
        "CreatedAt": volume.created,
        "Driver": DRIVER,
        "Labels": volume.labels or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": DRIVER,
    }


def check_name(name: str) -> None:
    """Raise `InvalidInput` unless `name` is one that Docker takes for a volume."""
    if len(name) == 1:
        raise InvalidInput("volume name is too short, names should be at least two alphanumeric characters")
    if not name or name[0] in "_.-" or not set(name) <= _NAME_CHARACTERS or len(name) > _MAX_NAME:
        raise InvalidInput(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            "to bind a folder of the node, give its absolute path",
        )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
