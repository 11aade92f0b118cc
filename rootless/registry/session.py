"""Requests to one repository of one registry: scheme, log-in, redirects, and what an answer's status means.

Credentials go to the registry's own origin only: a redirect (blobs usually lie on a storage server), or an upload's location on
another server, is followed without them, never from https to http, at most `_MAX_REDIRECTS` times.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import httpx
import trio

from rootless.errors import RegistryError
from rootless.registry import refusals
from rootless.registry.authorization import Authorization
from rootless.registry.configuration import DEFAULT_REGISTRY, Endpoint
from rootless.registry.connections import Connections
from rootless.registry.credentials import Credentials
from rootless.registry.limited import read_limited
from rootless.registry.retry import PASSING_STATUSES, PassingError, Patience, retry_after

_DOCKER_HOST: Final = "registry-1.docker.io"
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})  # RFC 9110, section 15.4: what has a body may follow these only
_MAX_ERROR: Final = 64 << 10
_PULLED: Final = frozenset({200, 206, 416})


class Call(NamedTuple):
    """One request.

    `target` is a path below /v2/REPOSITORY/, one on the server (with a leading slash), or a whole URL. `body` makes the body's
    blocks anew for each try; then `headers` have its content-length. `expected` are the statuses that the caller handles.
    `answer_seconds` bounds the wait for the answer where that may take longer than a read.
    """

    method: str
    target: str | httpx.URL
    headers: Mapping[str, str] = {}
    body: Callable[[], AsyncIterator[bytes]] | None = None
    expected: Collection[int] = _PULLED
    answer_seconds: float | None = None


class Session:
    """One repository at one endpoint. Where it is insecure plain HTTP and any certificate will do; loopback is, as in Docker.

    `scopes` are those of a token beyond what a request needs at the moment; see `push_scopes`.
    """

    def __init__(
        self,
        connections: Connections,
        endpoint: Endpoint,
        credentials: Credentials | None,
        *,
        scopes: Sequence[str] = (),
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.patience = patience or connections.patience
        self._connections = connections
        self._insecure = endpoint.insecure or (is_loopback(endpoint.host) and not endpoint.strict)
        self._host = _DOCKER_HOST if endpoint.host == DEFAULT_REGISTRY else endpoint.host
        self._authorization = Authorization(connections, endpoint.host, credentials, insecure=self._insecure, scopes=scopes)
        self._header: str | None = None
        self._base: httpx.URL | None = None
        self._lock = trio.Lock()  # one look for the scheme, one log-in at a time
        self._reached = False
        if self._insecure:
            connections.allow_insecure(self._host)

    @contextlib.asynccontextmanager
    async def get(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """Yield the answer to GET /v2/REPOSITORY/`path`: 200, 206 or 416. Body and errors as in `send`."""
        async with self.send(Call("GET", path, headers)) as response:
            yield response

    @contextlib.asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[httpx.Response]:
        """Yield the answer to a request, its status one that is expected, its body not read yet.

        Raises `PassingError` for what may pass, `NoSuchObject` for 404, `RegistryError` for all else.
        """
        try:
            response = await self._authorized(call)
            try:
                await self._check(response, call)
                yield response
            finally:
                await response.aclose()
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise self._lost(error) from error

    def location_of(self, response: httpx.Response) -> httpx.URL:
        """Return the URL in an answer's Location header, relative or whole. Raises `RegistryError` for none, or a bad one.

        A registry behind a server that ends TLS for it may name itself with http: then TLS is kept.
        """
        text = response.headers.get("location", "")
        asked = response.request.url
        try:
            url = asked.join(text) if text else None
        except httpx.InvalidURL:
            url = None
        if url is None or url.scheme not in {"https", "http"} or not url.host:
            raise RegistryError(f"{self.endpoint.host} sent no valid location: {text.partition('?')[0]!r:.100}")
        if url.scheme == "http" and asked.scheme == "https":
            if url.host != asked.host:
                raise RegistryError(f"{self.endpoint.host} redirects from TLS to {_shown(url)}, which is not followed")
            url = asked.copy_with(raw_path=url.raw_path)
        return url

    async def _authorized(self, call: Call) -> httpx.Response:
        base = await self._origin()
        url = self._url(base, call.target)
        sent = self._header
        response = await self._follow(call, url, base, sent)
        if response.status_code != 401 or _origin_of(response.request.url) != _origin_of(base):
            return response
        challenge = ", ".join(response.headers.get_list("www-authenticate"))
        await response.aclose()
        async with self._lock:
            if self._header == sent:  # else another task has just logged in
                scope = f"repository:{self.endpoint.path}:pull" if self.endpoint.path else ""
                self._header = await self._authorization.answer(challenge, scope)
        return await self._follow(call, url, base, self._header)

    def _url(self, base: httpx.URL, target: str | httpx.URL) -> httpx.URL:
        if isinstance(target, httpx.URL):
            return target
        path = target if target.startswith("/") else f"/v2/{self.endpoint.path}/{target}"
        return base.copy_with(raw_path=path.encode("ascii"))

    async def _follow(self, call: Call, url: httpx.URL, base: httpx.URL, authorization: str | None) -> httpx.Response:
        for _ in range(_MAX_REDIRECTS + 1):
            secret = {"authorization": authorization} if authorization and _origin_of(url) == _origin_of(base) else {}
            client = self._connections.client_for(url)
            request = client.build_request(
                call.method,
                url,
                headers={**call.headers, **secret},
                content=call.body() if call.body else None,
                timeout=self._timeout(call),
            )
            response = await self._answer(client, request, call)
            if response.status_code not in _REDIRECTS or "location" not in response.headers:
                return response
            await response.aclose()
            if call.method not in {"GET", "HEAD"} and response.status_code not in _KEEP_METHOD:
                said = f"{call.method} with {response.status_code}"
                raise RegistryError(f"{self.endpoint.host} redirects {said}, which is not followed")
            url = self._redirected(response)
        raise RegistryError(f"{self.endpoint.host} redirects more than {_MAX_REDIRECTS} times")

    async def _answer(self, client: httpx.AsyncClient, request: httpx.Request, call: Call) -> httpx.Response:
        """Return the answer once its headers are there: a server that sends a byte now and then must not hold us for ever."""
        seconds = math.inf if call.body else call.answer_seconds or self.patience.document_seconds
        with trio.move_on_after(seconds):
            return await client.send(request, stream=True)
        raise PassingError(RegistryError(f"{self.endpoint.host} is too slow", "try again later"))

    def _redirected(self, response: httpx.Response) -> httpx.URL:
        target = response.request.url.join(response.headers["location"])
        downgraded = target.scheme == "http" and response.request.url.scheme == "https"
        if target.scheme not in {"https", "http"} or downgraded:
            raise RegistryError(f"{self.endpoint.host} redirects from TLS to {_shown(target)}, which is not followed")
        return target

    def _timeout(self, call: Call) -> httpx.Timeout:
        patience = self.patience
        return httpx.Timeout(
            patience.read_seconds, read=call.answer_seconds or patience.read_seconds, connect=patience.connect_seconds, pool=None
        )

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
        call = Call("GET", "/v2/")
        try:
            response = await self._answer(client, client.build_request("GET", base.join("/v2/")), call)
        except httpx.TransportError:  # not TLS, or not there at all: the request by HTTP will tell
            return False
        await response.aclose()
        return True

    async def _check(self, response: httpx.Response, call: Call) -> None:
        status = response.status_code
        self._reached = True
        if status in call.expected:
            return
        detail = refusals.detail(await read_limited(response, _MAX_ERROR, self.patience))
        said = f"{status} {response.reason_phrase}" + (f": {detail}" if detail else "")
        if status in PASSING_STATUSES:
            failure = RegistryError(f"{self.endpoint.host} answers {said}", "try again later")
            raise PassingError(failure, retry_after(response))
        raise refusals.refusal(self.endpoint, call.method, str(call.target), status, said)

    def _lost(self, error: Exception) -> Exception:
        failure, lasting = refusals.unreachable(self.endpoint.host, error)
        if lasting or (isinstance(error, httpx.ConnectError) and not self._reached):
            return failure  # refused at the very first try: it is down, or the name is wrong
        return PassingError(failure) if isinstance(error, httpx.TransportError) else failure


def push_scopes(path: str, origins: Collection[str] = ()) -> tuple[str, ...]:
    """Return the scopes of a token that may push to a repository and mount blobs of others on the same registry."""
    return f"repository:{path}:pull,push", *(f"repository:{origin}:pull" for origin in sorted(origins) if origin != path)


def is_loopback(host: str) -> bool:
    """Tell whether `host` (`NAME[:PORT]`) is this machine, which needs no TLS (Docker: 127.0.0.0/8, ::1, localhost)."""
    name = host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]
    parts = name.split(".")
    is_ipv4 = len(parts) == 4 and all(part.isdecimal() for part in parts)
    return name in {"localhost", "::1"} or (is_ipv4 and parts[0] == "127")


def _origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(url: httpx.URL) -> str:
    """Return a URL for a message: queries of storage servers are as good as passwords."""
    return f"{url.scheme}://{url.host}{url.path}"[:100]
