"""Logging in to a registry: basic authentication and tokens (distribution's "Token Authentication" and OAuth 2 specifications).

Theory of operation. The first request goes without credentials. A 401 comes with a challenge; `answer` turns it into the
value of an Authorization header, which the session then sends to the same server only:

    Basic                 user and password
    Bearer realm, …       GET realm?service&scope…, with basic authentication where there is a log-in;
                          with an identity token POST realm, grant_type=refresh_token

A scope is `TYPE:NAME:ACTION[,ACTION…]`. A challenge names the one that its request needs; a session that will push asks for
more at once, as a look whether a blob is there would else get a token that may only pull.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import trio

from rootless.errors import RegistryError
from rootless.registry import challenge, refusals
from rootless.registry.connections import Connections
from rootless.registry.credentials import Credentials
from rootless.registry.limited import read_limited
from rootless.registry.retry import PASSING_STATUSES, PassingError, retry_after

_MAX_REPLY: Final = 1 << 20
_CLIENT: Final = "rl"


class Authorization:
    """How one repository on one host is logged in to; `insecure` permits a realm without TLS.

    `scopes` are asked for in addition to what a challenge names.
    """

    def __init__(
        self,
        connections: Connections,
        host: str,
        credentials: Credentials | None,
        *,
        insecure: bool,
        scopes: Sequence[str] = (),
    ) -> None:
        self._connections = connections
        self._host = host
        self._credentials = credentials
        self._insecure = insecure
        self._scopes = scopes
        self._reached = False

    async def answer(self, header: str, scope: str) -> str | None:
        """Return an Authorization header for a challenge (the value of WWW-Authenticate), or None where nothing fits.

        `scope` is used where the challenge names none; "" is none. Raises `RegistryError`, `PassingError`.
        """
        offers = {offer.scheme: offer.parameters for offer in reversed(challenge.parse(header))}
        if "bearer" in offers and "realm" in offers["bearer"]:
            return f"Bearer {await self._token(offers['bearer'], scope)}"
        if "basic" in offers and self._credentials is not None and self._credentials.user:
            return _basic(self._credentials)
        return None

    async def _token(self, parameters: Mapping[str, str], scope: str) -> str:
        realm = self._realm(parameters["realm"])
        service = {"service": parameters["service"]} if "service" in parameters else {}
        scopes = wider_scopes(parameters.get("scope", scope), self._scopes)
        client = self._connections.client_for(realm)
        if self._credentials is not None and not self._credentials.user:
            grant = {"grant_type": "refresh_token", "refresh_token": self._credentials.password, "client_id": _CLIENT}
            request = client.build_request("POST", realm, data={**service, "scope": " ".join(scopes), **grant})
        else:
            headers = {} if self._credentials is None else {"authorization": _basic(self._credentials)}
            query = realm.copy_merge_params({**service, **({"scope": scopes} if scopes else {})})
            request = client.build_request("GET", query, headers=headers)
        return self._token_in(*await self._reply(client, request))

    async def _reply(self, client: httpx.AsyncClient, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """Return the token server's answer and its body. Raises `PassingError`, `RegistryError` that name that server."""
        patience = self._connections.patience
        try:
            # A server that sends a byte of its headers now and then must not hold us for ever.
            with trio.move_on_after(patience.document_seconds):
                response = await client.send(request, stream=True)
                self._reached = True
                try:
                    return response, await read_limited(response, _MAX_REPLY, patience)
                finally:
                    await response.aclose()
        except httpx.TransportError as error:
            failure, lasting = refusals.unreachable(request.url.netloc.decode("ascii"), error, f"token server of {self._host},")
            if lasting or (isinstance(error, httpx.ConnectError) and not self._reached):
                raise failure from error
            raise PassingError(failure) from error
        raise PassingError(RegistryError(f"the token server of {self._host} is too slow", "try again later"))

    def _token_in(self, response: httpx.Response, content: bytes) -> str:
        if response.status_code in PASSING_STATUSES:
            failure = RegistryError(f"the token server of {self._host} answers {response.status_code}", "try again later")
            raise PassingError(failure, retry_after(response))
        if response.status_code != 200:
            raise RegistryError(
                f"the token server of {self._host} refuses to log in: {response.status_code} {response.reason_phrase}",
                f"check user name and password, and log in again: rl login {self._host}",
            )
        try:
            document: Any = json.loads(content)
        except (ValueError, RecursionError):  # the error's own text may quote a token
            raise RegistryError(f"the token server of {self._host} sent no JSON") from None
        token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryError(f"the token server of {self._host} sent no token")
        return token

    def _realm(self, text: str) -> httpx.URL:
        try:
            realm = httpx.URL(text)
        except httpx.InvalidURL as error:
            raise RegistryError(f"{self._host} names an invalid token server: {text!r:.100}") from error
        if realm.scheme not in {"https", "http"} or not realm.host:
            raise RegistryError(f"{self._host} names an invalid token server: {text!r:.100}")
        if realm.scheme == "http" and not self._insecure:
            raise RegistryError(
                f"{self._host} names a token server without TLS: {text!r:.100}",
                "if that is meant, set insecure = true for this registry in registries.conf",
            )
        return realm


def wider_scopes(named: str, wanted: Sequence[str]) -> list[str]:
    """Return the scopes to ask for: all that are wanted, and what a challenge names (separated by spaces) beyond them."""
    return [*wanted, *(scope for scope in named.split() if not any(_covers(wide, scope) for wide in wanted))]


def _covers(wide: str, scope: str) -> bool:
    resource, _, actions = scope.rpartition(":")
    wide_resource, _, wide_actions = wide.rpartition(":")
    return resource == wide_resource and set(actions.split(",")) <= set(wide_actions.split(","))


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode("ascii")
