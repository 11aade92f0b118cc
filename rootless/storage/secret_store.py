"""Secrets: small pieces of data that containers are given without being in an image, a layer, or what inspect shows.

    secrets/NAME/secret.json    0600 in folders of 0700: ID, CreatedAt, UpdatedAt, Labels, and Data in base64

A secret is made under another name and renamed, which claims its name; a new value replaces the document in one step. Containers
get a copy when they are made, so a secret may be removed, or replaced, while containers have it.
"""

import base64
import errno
import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import DamagedRecord, InUse, InvalidInput, NoSuchObject
from rootless.images.layout import replace_file
from rootless.locations import Locations
from rootless.storage import unfinished

DRIVER: Final = "file"
MAX_BYTES: Final = 512_000

_RECORD: Final = "secret.json"
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MAX_NAME: Final = 253
_ID_BYTES: Final = 13  # 25 digits of these are used, as in Podman and Docker
_ID_DIGITS: Final = 25


class Secret(NamedTuple):
    """One secret; times are RFC 3339."""

    id: str
    name: str
    created: str
    updated: str
    labels: dict[str, str]
    data: bytes


class SecretStore:
    """The secrets of one data root."""

    def __init__(self, locations: Locations) -> None:
        self._folder = locations.secrets

    def names(self) -> list[str]:
        """Return the names of all secrets, sorted; reads no record."""
        try:
            return sorted(name for name in os.listdir(self._folder) if not name.startswith("."))
        except FileNotFoundError:
            return []

    def list(self) -> list[Secret]:
        """Return all secrets by name; one that vanishes meanwhile is left out. Raises `DamagedRecord`."""
        return [secret for name in self.names() if (secret := self._read(name)) is not None]

    def get(self, name_or_id: str) -> Secret:
        """Return a secret by its name, its ID, or a prefix of that which is unique. Raises `NoSuchObject`, `InvalidInput`."""
        secret = self._read(name_or_id) if _is_name(name_or_id) else None
        if secret is not None:
            return secret
        matching = [one for one in self.list() if name_or_id and one.id.startswith(name_or_id)]
        if len(matching) > 1:
            raise InvalidInput(f"several secrets have an ID that begins with {name_or_id}", "give more of it")
        if not matching:
            raise NoSuchObject(f"No such secret: {name_or_id}", "`rl secret ls` lists them")
        return matching[0]

    def create(self, name: str, data: bytes, labels: Mapping[str, str], *, replace: bool) -> Secret:
        """Make a secret; with `replace` one that is there gets the new value and labels. Raises `InvalidInput`, `InUse`."""
        if not _is_name(name):
            raise InvalidInput(
                f"invalid secret name: {name[:300]!r}", f"allowed are [a-zA-Z0-9][a-zA-Z0-9_.-], {_MAX_NAME} characters at most"
            )
        if not 0 < len(data) < MAX_BYTES:
            raise InvalidInput(f"secret data must be larger than 0 and less than {MAX_BYTES} bytes, not {len(data)}")
        now = _now()
        secret = Secret(secrets.token_hex(_ID_BYTES)[:_ID_DIGITS], name, now, now, dict(labels), data)
        if self._make(secret):
            return secret
        if not replace:
            raise InUse(f"{name}: secret name in use", f"replace it by --replace, or remove it: rl secret rm {name}")
        try:
            replace_file(f"{self._folder}/{name}/{_RECORD}", _document(secret))
        except FileNotFoundError:  # it was removed just now
            return self.create(name, data, labels, replace=replace)
        return secret

    def remove(self, name_or_id: str) -> Secret:
        """Remove a secret. Raises `NoSuchObject`."""
        secret = self.get(name_or_id)
        aside = unfinished.path(self._folder)
        try:
            os.rename(f"{self._folder}/{secret.name}", aside)
        except FileNotFoundError:
            raise NoSuchObject(f"No such secret: {name_or_id}", "another command has just removed it") from None
        unfinished.discard(aside)
        return secret

    def _read(self, name: str) -> Secret | None:
        path = f"{self._folder}/{name}/{_RECORD}"
        try:
            with open(path, "rb") as file:
                record = json.loads(file.read())
            labels, data = dict(record["Labels"]), base64.b64decode(record["Data"])
            return Secret(str(record["ID"]), name, str(record["CreatedAt"]), str(record["UpdatedAt"]), labels, data)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError):
            hint = f"remove its folder: {self._folder}/{name}"
            raise DamagedRecord(f"the record of secret {name} is damaged: {path}", hint) from None

    def _make(self, secret: Secret) -> bool:
        new = unfinished.make(self._folder)
        try:
            replace_file(f"{new}/{_RECORD}", _document(secret))
            os.rename(new, f"{self._folder}/{secret.name}")
        except OSError as error:
            unfinished.discard(new)
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            return False
        return True


def inspect_document(secret: Secret, *, show: bool) -> dict[str, Any]:
    """Return the JSON object of `podman secret inspect`, with the secret itself only where it is to be shown."""
    return {
        "ID": secret.id,
        "CreatedAt": secret.created,
        "UpdatedAt": secret.updated,
        "Spec": {"Name": secret.name, "Driver": {"Name": DRIVER, "Options": {}}, "Labels": secret.labels},
        **({"SecretData": secret.data.decode(errors="replace")} if show else {}),
    }


def _document(secret: Secret) -> bytes:
    return json.dumps(
        {
            "ID": secret.id,
            "CreatedAt": secret.created,
            "UpdatedAt": secret.updated,
            "Labels": secret.labels,
            "Data": base64.b64encode(secret.data).decode(),
        }
    ).encode()


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_NAME and text[0] not in "_.-" and set(text) <= _NAME_CHARACTERS


def _now() -> str:
    nanoseconds = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(nanoseconds // 10**9))}.{nanoseconds % 10**9:09d}Z"
