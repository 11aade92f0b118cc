"""The files with log-ins: containers' auth.json (containers-auth.json(5)) and Docker's config.json, which share their form.

    {"auths": {"HOST[/PATH]": {"auth": base64 of USER:PASSWORD} | {"identitytoken": …} | {}},
     "credHelpers": {"HOST": NAME}, "credsStore": NAME}

An empty entry says that a credential helper has the log-in. A file is replaced whole, mode 0600, under a lock beside it; what
else is in it (Docker keeps its settings there) stays.
"""

import base64
import binascii
import contextlib
import errno
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, os_error_text

DOCKER_KEY: Final = "https://index.docker.io/v1/"  # what Docker and its helpers call Docker Hub
_DOCKER_KEYS: Final = ("docker.io", DOCKER_KEY, "index.docker.io", "registry-1.docker.io")
_MAX_FILE: Final = 4 << 20


class Credentials(NamedTuple):
    """User name and password; or, with an empty user name, an identity token (OAuth 2 refresh token) as `password`."""

    user: str
    password: str

    def __repr__(self) -> str:
        """Return a text without the secret: it may come into a traceback."""
        return f"Credentials({self.user!r}, …)"


class AuthFile:
    """What one file holds; keys as in `normalised`. A file that is missing holds nothing."""

    def __init__(self, path: str, document: dict[str, Any]) -> None:
        self.path = path
        self.document = document
        auths, helpers = document.get("auths", {}), document.get("credHelpers", {})
        if not isinstance(auths, dict):
            raise InvalidInput(f"{path} has no object `auths`")
        if not isinstance(helpers, dict):
            raise InvalidInput(f"{path} has no object `credHelpers`")
        self.auths: dict[str, Any] = {normalised(key): value for key, value in auths.items()}
        self._helpers: dict[str, Any] = {normalised(key): value for key, value in helpers.items()}

    def helper_for(self, key: str) -> str | None:
        """Return the name of the credential helper for a key: its host's own, or the one for all."""
        store = self.document.get("credsStore")
        name = self._helpers.get(key.partition("/")[0], store)
        return name if isinstance(name, str) and name else None

    def helpers(self) -> dict[str, str]:
        """Return all hosts with a helper of their own, and its name."""
        return {host: name for host, name in self._helpers.items() if isinstance(name, str) and name}

    def entry(self, key: str) -> Credentials | None:
        """Return the log-in that the file itself has for a key. Raises `InvalidInput` for a malformed one."""
        entry = self.auths.get(key)
        if not isinstance(entry, dict):
            return None
        token = entry.get("identitytoken")
        if isinstance(token, str) and token:
            return Credentials("", token)
        encoded = entry.get("auth")
        if not isinstance(encoded, str) or not encoded:
            return None
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidInput(f"{self.path}: the log-in for {key} is not base64") from error
        if not colon or not user:
            raise InvalidInput(f"{self.path}: the log-in for {key} has no user name")
        return Credentials(user, password.rstrip("\0"))

    def put(self, key: str, credentials: Credentials | None) -> None:
        """Set a key's log-in; None for an entry that names a helper's."""
        self.discard(key)
        auths = self.document.setdefault("auths", {})
        auths[self._own_key(key)] = {} if credentials is None else _encoded(credentials)
        self.auths[key] = auths[self._own_key(key)]

    def discard(self, key: str) -> bool:
        """Remove a key in all of its spellings; tells whether it was there."""
        auths: dict[str, Any] = self.document.get("auths", {})
        spellings = [spelling for spelling in auths if normalised(spelling) == key]
        for spelling in spellings:
            del auths[spelling]
        return self.auths.pop(key, None) is not None

    def _own_key(self, key: str) -> str:
        is_docker_s = os.path.basename(self.path) == "config.json"
        return DOCKER_KEY if is_docker_s and key == _DOCKER_KEYS[0] else key


def normalised(key: str) -> str:
    """Return a key without what Docker's older files and users add: a scheme, `/v1/`, `/v2/`; Docker Hub is docker.io."""
    if key in _DOCKER_KEYS:
        return _DOCKER_KEYS[0]
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/").removesuffix("/v1").removesuffix("/v2")
    return _DOCKER_KEYS[0] if bare in _DOCKER_KEYS else bare


def read(path: str) -> AuthFile:
    """Read one file. Raises `InvalidInput` for one that is not what it should be."""
    try:
        with open(path, "rb") as content:
            text = content.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return AuthFile(path, {})
    except OSError as error:
        raise InvalidInput(f"cannot read log-ins: {os_error_text(error)}") from error
    if not text.strip():
        return AuthFile(path, {})
    try:
        document = json.loads(text) if len(text) <= _MAX_FILE else None
    except (ValueError, RecursionError):  # the error's own text may quote a secret
        raise InvalidInput(f"{path} is not JSON", "mend it, or remove it and log in again") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{path} has no object `auths`")
    return AuthFile(path, document)


@contextlib.contextmanager
def changed(path: str) -> Iterator[AuthFile]:
    """Yield a file's content for changes, and replace the file after them. Raises `InvalidInput`, `OSError`."""
    path = os.path.realpath(path)  # a link to a file elsewhere stays one
    folder = os.path.dirname(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    # Docker and podman take no lock; against them whole replacement is all there is.
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP}:  # a home on NFS may refuse locks
                raise
        file = read(path)
        before = json.dumps(file.document)
        yield file
        if json.dumps(file.document) != before:
            _replace(path, json.dumps(file.document, indent="\t").encode() + b"\n")
    finally:
        os.close(lock)


def locations(environ: Mapping[str, str]) -> list[str]:
    """Return the files that may hold log-ins, in the order in which they are looked at."""
    override = environ.get("REGISTRY_AUTH_FILE")
    if override:
        return [override]
    runtime = environ.get("XDG_RUNTIME_DIR")
    return [
        *([_docker_config(environ)] if environ.get("DOCKER_CONFIG") else []),
        *([f"{runtime}/containers/auth.json"] if runtime else []),
        f"{_config(environ)}/containers/auth.json",
        *([] if environ.get("DOCKER_CONFIG") else [_docker_config(environ)]),
    ]


def to_write(environ: Mapping[str, str]) -> str:
    """Return the file for a new log-in: as podman's, $REGISTRY_AUTH_FILE, $DOCKER_CONFIG, then the runtime directory's."""
    return locations(environ)[0]


def _docker_config(environ: Mapping[str, str]) -> str:
    return f"{environ.get('DOCKER_CONFIG') or f'{_home(environ)}/.docker'}/config.json"


def _config(environ: Mapping[str, str]) -> str:
    return environ.get("XDG_CONFIG_HOME") or f"{_home(environ)}/.config"


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _encoded(credentials: Credentials) -> dict[str, str]:
    if not credentials.user:
        return {"identitytoken": credentials.password}
    return {"auth": base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode("ascii")}


def _replace(path: str, content: bytes) -> None:
    temporary = f"{path}.{secrets.token_hex(6)}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
