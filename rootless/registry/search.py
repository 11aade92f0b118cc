"""Searching: Docker Hub's index by its version 1 interface, which alone has descriptions; any other registry by its catalog."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import trio

from rootless.errors import InvalidInput, RegistryError
from rootless.registry import configuration, credentials
from rootless.registry.client import MAX_DOCUMENT, pages
from rootless.registry.configuration import DEFAULT_REGISTRY
from rootless.registry.connections import Connections
from rootless.registry.limited import read_limited
from rootless.registry.retry import Patience, persistently
from rootless.registry.session import Call, Session

MAX_LIMIT: Final = 100
_INDEX: Final = "index.docker.io"


class Match(NamedTuple):
    """One repository that was found; a catalog knows the name only, which then has its registry."""

    name: str
    description: str = ""
    stars: int = 0
    is_official: bool = False
    is_automated: bool = False


def search(
    term: str,
    limit: int,
    *,
    environ: Mapping[str, str],
    patience: Patience | None = None,
    etc: str = "/etc",
) -> list[Match]:
    """Return at most `limit` (1 to 100) repositories that fit `TERM`, or `REGISTRY/TERM`. Raises `InvalidInput`, `RegistryError`.

    Without a registry Docker Hub is searched. An empty term after a registry finds all that it has.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"limit {limit} is outside the range of [1, {MAX_LIMIT}]")
    host, slash, rest = term.partition("/")
    named = bool(slash) and ("." in host or ":" in host or host == "localhost")
    registry, wanted = (host, rest) if named else (DEFAULT_REGISTRY, term)
    if not named and not wanted:
        raise InvalidInput("a search needs a term", "rl search TERM, or rl search REGISTRY/")
    endpoint = configuration.load(environ, etc).registry_of(registry)._replace(path="")
    if registry in {DEFAULT_REGISTRY, _INDEX} and endpoint.host in {DEFAULT_REGISTRY, _INDEX}:
        endpoint = endpoint._replace(host=_INDEX)
    login = credentials.find(registry, "", environ)

    async def run() -> list[Match]:
        async with Connections(environ, patience or Patience(), etc) as connections:
            session = Session(connections, endpoint, login)
            if registry in {DEFAULT_REGISTRY, _INDEX}:
                return await _index(session, wanted, limit)
            return await _catalog(session, registry, wanted, limit)

    return trio.run(run)


async def _index(session: Session, term: str, limit: int) -> list[Match]:
    async def once() -> bytes:
        call = Call("GET", f"/v1/search?q={quote(term, safe='')}&n={limit}", expected={200})
        async with session.send(call) as response:
            return await read_limited(response, MAX_DOCUMENT, session.patience)

    content = await persistently(session.patience, once)
    try:
        results: Any = json.loads(content)["results"]
        return [_match(result) for result in results[:limit]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{session.endpoint.host} sent no list of results") from error


def _match(result: Any) -> Match:
    stars = result.get("star_count")
    return Match(
        str(result["name"]),
        str(result.get("description") or ""),
        stars if isinstance(stars, int) else 0,
        result.get("is_official") is True,
        result.get("is_automated") is True,
    )


async def _catalog(session: Session, registry: str, term: str, limit: int) -> list[Match]:
    found: list[Match] = []
    async for page in pages(session, "/v2/_catalog?n=1000", "repositories"):
        found += [Match(f"{registry}/{name}") for name in page if term.lower() in name]
        if len(found) >= limit:
            break
    return found[:limit]
