"""The secrets of a container: copies in its folder, where only the engine reads them, that every start puts into memory.

    CONTAINER/secrets/N    0600, in a folder of 0700

Of type mount: the stage writes them to a tmpfs, which is bound to /run/secrets. Of type env: they go into the environment of the
container's processes, but not into its record, nor into the config.json that is written beside it.
"""

import os
from collections.abc import Sequence
from typing import Any

from rootless.containers.documents import Document
from rootless.containers.secret_options import ENV, FOLDER, SecretRequest
from rootless.errors import InvalidInput, NodeLacks
from rootless.locations import Locations
from rootless.storage.secret_store import Secret, SecretStore

_MOUNT_OPTIONS = ["bind", "ro", "nosuid", "nodev", "noexec"]


def add_secrets(locations: Locations, folder: str, document: Document, requests: Sequence[SecretRequest]) -> None:
    """Copy secrets into a new container's folder and put into its record how they are given. Raises `NoSuchObject`."""
    own = document["Rl"]
    store = SecretStore(locations)
    os.mkdir(f"{folder}/secrets", 0o700)
    files: list[dict[str, Any]] = []
    variables: list[dict[str, Any]] = []
    shown = []
    for number, request in enumerate(requests):
        secret = store.get(request.name) if request.data is None else Secret("", request.name, "", "", {}, request.data)
        path = f"{folder}/secrets/{number}"
        _write(path, secret.data, 0o600)
        shown.append({"Name": secret.name, "ID": secret.id, "UID": request.uid, "GID": request.gid, "Mode": request.mode})
        if request.kind == ENV:
            variables.append({"Name": request.target, "File": path})
        else:
            files.append({"Target": request.target, "File": path, "UID": request.uid, "GID": request.gid, "Mode": request.mode})
    document["Config"]["Secrets"] = shown
    if variables:
        own["SecretVariables"] = variables
    if files:
        own.setdefault("Staging", {})["Secrets"] = files
        _add_mounts(folder, own["Mounts"], files)


def environment_of(document: Document) -> list[str]:
    """Return the secrets that a container has in its environment, as NAME=VALUE. Raises `InvalidInput` for one with a NUL."""
    entries = []
    for variable in document["Rl"].get("SecretVariables", ()):
        with open(variable["File"], "rb") as file:
            value = file.read()
        if b"\0" in value:
            raise InvalidInput(f"the secret for the variable {variable['Name']} holds a NUL", "give it as a file: type=mount")
        entries.append(f"{variable['Name']}={os.fsdecode(value)}")
    return entries


def values_of(secrets: Sequence[dict[str, Any]]) -> list[bytes]:
    """Read the copies of secrets."""
    values = []
    for secret in secrets:
        with open(secret["File"], "rb") as file:
            values.append(file.read())
    return values


def make_files(staging: str, secrets: Sequence[dict[str, Any]], values: Sequence[bytes]) -> None:
    """Write secrets as files in the tmpfs `staging`; runs in the stage, where IDs are the container's."""
    for secret, data in zip(secrets, values, strict=True):
        path = staging + _place(secret["Target"])
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        _write(path, data, 0o600)
        try:
            os.chown(path, secret["UID"], secret["GID"])
        except OSError as error:
            raise NodeLacks(
                f"cannot give the secret {secret['Target']} to {secret['UID']}:{secret['GID']}: {os.strerror(error.errno or 0)}",
                "you may have too few subordinate IDs: see /etc/subuid and /etc/subgid",
            ) from None
        os.chmod(path, secret["Mode"])


def _add_mounts(folder: str, mounts: list[dict[str, Any]], files: Sequence[dict[str, Any]]) -> None:
    """Bind the folder of those below /run/secrets, and each of the others."""
    destinations = dict.fromkeys(FOLDER if _is_below(one["Target"]) else one["Target"] for one in files)
    taken = {mount["destination"] for mount in mounts}
    for destination in destinations:
        if destination in taken:
            raise InvalidInput(f"Duplicate mount point: {destination}", "give the secret another target")
        source = f"{folder}/staging{_place(destination)}"
        mounts.append({"destination": destination, "type": "bind", "source": source, "options": _MOUNT_OPTIONS})
    if len({one["Target"] for one in files}) < len(files):
        raise InvalidInput("two secrets have the same target", "give them different targets")


def _is_below(target: str) -> bool:
    return target.startswith(f"{FOLDER}/")


def _place(target: str) -> str:
    """Return where in the tmpfs a file is; the folder for /run/secrets holds nothing else."""
    if target == FOLDER or _is_below(target):
        return "/secrets" + target.removeprefix(FOLDER)
    return "/others" + target


def _write(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
