"""HTTP clients, one for each server.

Each has its own TLS settings, so that a client certificate or a relaxed check of one registry is never used for the storage
server that it redirects to.
"""

from collections.abc import Mapping
from types import TracebackType

import httpx

from rootless.registry.certificates import context_for
from rootless.registry.proxies import proxy_for
from rootless.registry.retry import Patience


class Connections:
    """Makes clients as they are needed; an async context manager that closes them."""

    def __init__(self, environ: Mapping[str, str], patience: Patience, etc: str = "/etc") -> None:
        self.patience = patience
        self._environ = environ
        self._etc = etc
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}
        self._insecure: set[str] = set()

    async def __aenter__(self) -> "Connections":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    def allow_insecure(self, host: str) -> None:
        """Accept any certificate of `host` (`NAME[:PORT]`) from now on."""
        self._insecure.add(host)

    def client_for(self, url: httpx.URL) -> httpx.AsyncClient:
        """Return the client for a URL's server. Proxies are those of the environment.

        Raises `InvalidInput` for an unusable certificate or proxy.
        """
        host = url.netloc.decode("ascii")
        key = (url.scheme, host)
        client = self._clients.get(key)
        if client is None:
            patience = self.patience
            client = self._clients[key] = httpx.AsyncClient(
                # Without TLS a context of httpx's own would only cost time to read all authorities.
                verify=context_for(host, host in self._insecure, self._environ, self._etc) if url.scheme == "https" else False,
                timeout=httpx.Timeout(patience.read_seconds, connect=patience.connect_seconds, pool=None),
                follow_redirects=False,
                trust_env=False,
                proxy=proxy_for(url.scheme, url.host, url.port, self._environ),
                headers={"user-agent": "rl", "accept-encoding": "identity"},
            )
        return client
