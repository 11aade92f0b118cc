"""Log-ins that Docker, podman or skopeo stored (containers-auth.json(5), Docker's config.json)."""

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, os_error_text

_DOCKER_KEYS: Final = ("docker.io", "https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")


class Credentials(NamedTuple):
    """User name and password; or, with an empty user name, an identity token (OAuth 2 refresh token) as `password`."""

    user: str
    password: str


def find(host: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the log-in for a repository: the first file that has one, in it the most specific key. None: anonymous.

    Raises `InvalidInput` for a file that is not what it should be.
    """
    for file in files(environ):
        auths = _auths(file)
        for key in _keys(host, path):
            entry = auths.get(key)
            if isinstance(entry, dict) and (found := _read_entry(entry, key, file)) is not None:
                return found
    return None


def files(environ: Mapping[str, str]) -> list[str]:
    """Return the files that may hold log-ins, in the order in which they are looked at."""
    home = environ.get("HOME") or os.path.expanduser("~")
    override = environ.get("REGISTRY_AUTH_FILE")
    if override:
        return [override]
    runtime = environ.get("XDG_RUNTIME_DIR")
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return [
        *([f"{runtime}/containers/auth.json"] if runtime else []),
        f"{config}/containers/auth.json",
        f"{environ.get('DOCKER_CONFIG') or f'{home}/.docker'}/config.json",
    ]


def _auths(file: str) -> dict[str, Any]:
    try:
        with open(file, "rb") as content:
            document = json.loads(content.read())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InvalidInput(f"cannot read log-ins: {os_error_text(error)}") from error
    except ValueError as error:
        raise InvalidInput(f"{file} is not JSON: {error}") from error
    auths = document.get("auths", {}) if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        raise InvalidInput(f"{file} has no object `auths`")
    return {_normalised(key): value for key, value in auths.items()}


def _normalised(key: str) -> str:
    """Docker's files may have URLs as keys."""
    if key in _DOCKER_KEYS:
        return _DOCKER_KEYS[0]
    return key.removeprefix("https://").removeprefix("http://").removesuffix("/").removesuffix("/v1").removesuffix("/v2")


def _keys(host: str, path: str) -> Iterator[str]:
    """Yield host/a/b, host/a, host."""
    name = f"{_normalised(host)}/{path}" if path else _normalised(host)
    while name:
        yield name
        name = name.rpartition("/")[0]


def _read_entry(entry: dict[str, Any], key: str, file: str) -> Credentials | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Credentials("", token)
    encoded = entry.get("auth")
    if not isinstance(encoded, str) or not encoded:  # an empty entry: a credential helper has it
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: the log-in for {key} is not base64") from error
    if not colon or not user:
        raise InvalidInput(f"{file}: the log-in for {key} has no user name")
    return Credentials(user, password.rstrip("\0"))
