"""Logging in to a registry and out again: the registry is asked first, then the log-in is stored where `credentials` finds it."""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import trio

from rootless.errors import InvalidInput, RegistryError
from rootless.registry import auth_files, credential_helpers, credentials, refusals
from rootless.registry.access import Access
from rootless.registry.auth_files import Credentials, normalised
from rootless.registry.configuration import Endpoint
from rootless.registry.connections import Connections
from rootless.registry.limited import read_limited
from rootless.registry.retry import Patience, persistently
from rootless.registry.session import Call, Session

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?", re.ASCII)
_PATH: Final = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", re.ASCII)
_MAX_ANSWER: Final = 64 << 10
_REFUSED: Final = frozenset({401, 403})


class Server(NamedTuple):
    """What a log-in is for: a registry's `host` (with a port), or with a `path` only the repositories below that."""

    host: str
    path: str

    @property
    def key(self) -> str:
        """The key in files with log-ins."""
        return f"{self.host}/{self.path}" if self.path else self.host


class Stored(NamedTuple):
    """Where a log-in went: the file's path, and the credential helper that has the secret, or None: the file itself has it."""

    path: str
    helper: str | None


def parse_server(text: str) -> Server:
    """Return the server that a user names, also by a URL. Raises `InvalidInput`."""
    host, _, path = normalised(text.strip()).partition("/")
    if not _HOST.fullmatch(host) or (path and not _PATH.fullmatch(path)):
        raise InvalidInput(f"invalid registry {text!r:.100}", "give HOST[:PORT]")
    return Server(host, path)


def verify(
    server: Server,
    login: Credentials,
    *,
    environ: Mapping[str, str],
    tls_verify: bool | None = None,
    patience: Patience | None = None,
    etc: str = "/etc",
) -> None:
    """Ask a registry whether it accepts a log-in. Raises `RegistryError`, `InvalidInput`; `tls_verify` as in `Access`."""
    if not login.password or ":" in login.user or "\0" in login.user + login.password:
        raise InvalidInput("a log-in needs a user name without a colon, and a password")
    endpoint = Access(tls_verify=tls_verify).registries(environ, etc).registry_of(server.host)._replace(path="")
    trio.run(_verify, endpoint, login, environ, patience or Patience(), etc)


async def _verify(endpoint: Endpoint, login: Credentials, environ: Mapping[str, str], patience: Patience, etc: str) -> None:
    async with Connections(environ, patience, etc) as connections:
        session = Session(connections, endpoint, login)

        async def once() -> None:
            async with session.send(Call("GET", "/v2/", expected={200, *_REFUSED})) as response:
                detail = refusals.detail(await read_limited(response, _MAX_ANSWER, patience))
                if response.status_code in _REFUSED:
                    said = detail or f"{response.status_code} {response.reason_phrase}"
                    raise RegistryError(f"cannot log in to {endpoint.host}: {said}", "check the user name and the password")

        await persistently(patience, once)


def store(server: Server, login: Credentials, environ: Mapping[str, str]) -> Stored:
    """Keep a log-in for later, in a helper where the file names one. Raises `InvalidInput`, `RlError` of the helper, `OSError`."""
    path = auth_files.to_write(environ)
    with auth_files.changed(path) as file:
        helper = file.helper_for(server.key)
        if helper is not None:
            credential_helpers.store(helper, server.key, login, environ)
        file.put(server.key, None if helper is not None else login)
    return Stored(path, helper)


def remove(server: Server, environ: Mapping[str, str]) -> bool:
    """Forget a log-in in the file that new ones go to; tells whether there was one. Errors as `store`."""
    path = auth_files.to_write(environ)
    if not os.path.exists(path):
        return False
    with auth_files.changed(path) as file:
        helper = file.helper_for(server.key)
        known = helper is not None and credential_helpers.get(helper, server.key, environ) is not None
        if helper is not None and known:
            credential_helpers.erase(helper, server.key, environ)
        return file.discard(server.key) or known


def remove_all(environ: Mapping[str, str]) -> None:
    """Forget all log-ins of the file that new ones go to, and those of its helpers that it knows of. Errors as `store`."""
    path = auth_files.to_write(environ)
    if not os.path.exists(path):
        return
    with auth_files.changed(path) as file:
        for key in [*file.auths, *file.helpers()]:
            helper = file.helper_for(key)
            if helper is not None:
                credential_helpers.erase(helper, key, environ)
            file.discard(key)


def elsewhere(server: Server, environ: Mapping[str, str]) -> str | None:
    """Return the path of a file that still has a log-in for a server, or None."""
    for path in auth_files.locations(environ):
        if credentials.find_in(auth_files.read(path), server.host, server.path, environ) is not None:
            return path
    return None
