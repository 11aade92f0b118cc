"""Requests to one repository of one registry: scheme, log-in, redirects, and what an answer's status means.

Credentials go to the registry's own origin only: a redirect (blobs usually lie on a storage server) is followed without them,
never from https to http, at most `_MAX_REDIRECTS` times.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Final

import httpx
import trio

from rootless.errors import NoSuchObject, RegistryError, RlError
from rootless.registry.authorization import Authorization
from rootless.registry.configuration import DEFAULT_REGISTRY, Endpoint
from rootless.registry.connections import Connections
from rootless.registry.credentials import Credentials
from rootless.registry.limited import read_limited
from rootless.registry.retry import PASSING_STATUSES, PassingError, retry_after

_DOCKER_HOST: Final = "registry-1.docker.io"
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_ERROR: Final = 64 << 10

# What OpenSSL says -> what the user can do.
_HINTS: Final = {
    "certificate verify failed": "put its authority's certificate into ~/.config/containers/certs.d/{host}/ca.crt",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: if that is meant, set insecure = true for it in registries.conf",
}


class Session:
    """One repository at one endpoint. `insecure` permits plain HTTP and any certificate; loopback is insecure as in Docker."""

    def __init__(self, connections: Connections, endpoint: Endpoint, credentials: Credentials | None) -> None:
        self.endpoint = endpoint
        self.patience = connections.patience
        self._connections = connections
        self._insecure = endpoint.insecure or is_loopback(endpoint.host)
        self._host = _DOCKER_HOST if endpoint.host == DEFAULT_REGISTRY else endpoint.host
        self._authorization = Authorization(connections, endpoint.host, credentials, self._insecure)
        self._header: str | None = None
        self._base: httpx.URL | None = None
        self._lock = trio.Lock()  # one look for the scheme, one log-in at a time
        self._reached = False
        if self._insecure:
            connections.allow_insecure(self._host)

    @contextlib.asynccontextmanager
    async def get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Yield the answer to GET /v2/REPOSITORY/`path`: 200, 206 or 416, its body not read yet.

        Raises `PassingError` for what may pass, `NoSuchObject` for 404, `RegistryError` for all else.
        """
        try:
            response = await self._authorized(path, headers)
            try:
                await self._check(response, path)
                yield response
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._lost(error) from error

    async def _authorized(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        base = await self._origin()
        url = base.copy_with(raw_path=f"/v2/{self.endpoint.path}/{path}".encode("ascii"))
        sent = self._header
        response = await self._follow(url, headers, sent)
        if response.status_code != 401:
            return response
        challenge = ", ".join(response.headers.get_list("www-authenticate"))
        await response.aclose()
        async with self._lock:
            if self._header == sent:  # else another task has just logged in
                self._header = await self._authorization.answer(challenge, f"repository:{self.endpoint.path}:pull")
        return await self._follow(url, headers, self._header)

    async def _follow(self, url: httpx.URL, headers: Mapping[str, str], authorization: str | None) -> httpx.Response:
        origin = _origin_of(url)
        for _ in range(_MAX_REDIRECTS + 1):
            secret = {"authorization": authorization} if authorization and _origin_of(url) == origin else {}
            client = self._connections.client_for(url)
            response = await client.send(client.build_request("GET", url, headers={**headers, **secret}), stream=True)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            await response.aclose()
            target = url.join(location)
            if target.scheme not in {"https", "http"} or (target.scheme == "http" and url.scheme == "https"):
                raise RegistryError(f"{self.endpoint.host} redirects from TLS to {str(target)!r:.100}, which is not followed")
            url = target
        raise RegistryError(f"{self.endpoint.host} redirects more than {_MAX_REDIRECTS} times")

    async def _origin(self) -> httpx.URL:
        """Return the registry's scheme and host; an insecure one is asked by TLS first, as Docker does."""
        async with self._lock:
            if self._base is None:
                self._base = httpx.URL(f"https://{self._host}")
                if self._insecure and not await self._speaks_tls(self._base):
                    self._base = httpx.URL(f"http://{self._host}")
            return self._base

    async def _speaks_tls(self, base: httpx.URL) -> bool:
        client = self._connections.client_for(base)
        try:
            response = await client.send(client.build_request("GET", base.join("/v2/")), stream=True)
        except httpx.TransportError:  # not TLS, or not there at all: the request by HTTP will tell
            return False
        await response.aclose()
        return True

    async def _check(self, response: httpx.Response, path: str) -> None:
        status = response.status_code
        self._reached = True
        if status in {200, 206, 416}:
            return
        detail = _detail(await read_limited(response, _MAX_ERROR, self.patience))
        said = f"{status} {response.reason_phrase}" + (f": {detail}" if detail else "")
        if status in PASSING_STATUSES:
            failure = RegistryError(f"{self.endpoint.host} answers {said}", "try again later")
            raise PassingError(failure, retry_after(response))
        raise self._refusal(status, said, path)

    def _refusal(self, status: int, said: str, path: str) -> RlError:
        if status == 404:
            kind, _, name = path.partition("/")
            shown = f"{kind.removesuffix('s')} {name} of {self.endpoint}"
            return NoSuchObject(f"{shown} not found: {said}", "check the name and the tag")
        if status in {401, 403}:
            return RegistryError(
                f"pull access denied for {self.endpoint}: {said}",
                "the repository does not exist, or needs a log-in (~/.docker/config.json, ${XDG_RUNTIME_DIR}/containers/auth.json)",
            )
        return RegistryError(f"{self.endpoint.host} answers {said}")

    def _lost(self, error: Exception) -> Exception:
        reason = _reason(error)
        hints = (hint for sign, hint in _HINTS.items() if sign in reason)
        hint = next(hints, "check the name, the network, and that the registry is up").format(host=self.endpoint.host)
        failure = RegistryError(f"cannot reach the registry {self.endpoint.host}: {reason}", hint)
        if isinstance(error, httpx.ConnectError) and not self._reached:
            return failure  # refused at the very first try: it is down, or the name is wrong
        return PassingError(failure) if isinstance(error, httpx.TransportError) else failure


def is_loopback(host: str) -> bool:
    """Tell whether `host` (`NAME[:PORT]`) is this machine, which needs no TLS (Docker: 127.0.0.0/8, ::1, localhost)."""
    name = host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]
    parts = name.split(".")
    is_ipv4 = len(parts) == 4 and all(part.isdecimal() for part in parts)
    return name in {"localhost", "::1"} or (is_ipv4 and parts[0] == "127")


def _reason(error: BaseException) -> str:
    """Return the text of the innermost cause that has one: httpx and httpcore often leave theirs empty."""
    reason = ""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):  # trio's: one error an address that was tried
            seen = seen.exceptions[0]
        reason = (seen.strerror if isinstance(seen, OSError) else None) or str(seen) or reason
        seen = seen.__cause__ or seen.__context__
    return reason or type(error).__name__


def _origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _detail(content: bytes) -> str:
    """Return the messages of an error body (distribution-spec, "Error Codes"), or nothing where it is something else."""
    try:
        errors = json.loads(content)["errors"]
        messages = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    text = "; ".join(messages)[:300]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
