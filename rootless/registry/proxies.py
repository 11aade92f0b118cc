"""Which proxy a request goes through: http_proxy, https_proxy, all_proxy and no_proxy, by the rules of Go's tools and curl.

`no_proxy` is a list separated by commas: `*`, names (`example.com` and `.example.com` both mean the domain and all below it),
addresses and networks (`10.0.0.0/8`), each with a port or without. This machine itself never needs a proxy.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from rootless.errors import InvalidInput

_SCHEMES: Final = frozenset({"http", "https"})
_PORTS: Final = {"http": 80, "https": 443}


def proxy_for(scheme: str, host: str, port: int | None, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for a server (`host` without port or brackets), or None.

    Raises `InvalidInput` for one that we cannot use; its text does not show the URL, which may have a password in it.
    """
    variables = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if scheme == "http" and "REQUEST_METHOD" in environ:
        variables.remove("HTTP_PROXY")  # a CGI program's Proxy header (httpoxy)
    variable = next((name for name in variables if environ.get(name, "").strip()), None)
    if variable is None or _is_excluded(host.lower().rstrip("."), port or _PORTS[scheme], environ):
        return None
    text = environ[variable].strip()
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise InvalidInput(f"the proxy in {variable} is not a URL of http or https", "write http://HOST:PORT")
    return url


def _is_excluded(host: str, port: int, environ: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    patterns = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    return any(_matches(pattern.strip().lower(), host, address, port) for pattern in patterns)


def _matches(pattern: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if pattern == "*":
        return True
    if "/" in pattern:
        try:
            return address is not None and address in ipaddress.ip_network(pattern, strict=False)
        except ValueError:  # not a network: it excludes nothing
            return False
    name, wanted_port = _split_port(pattern)
    if not name or wanted_port not in {None, port}:
        return False
    excluded = _address(name)
    if excluded is not None:
        return excluded == address
    bare = name.removeprefix("*").removeprefix(".")
    return host == bare or host.endswith(f".{bare}")


def _split_port(pattern: str) -> tuple[str, int | None]:
    """Split `NAME:PORT`, `[ADDRESS]:PORT`, or either without port; an IPv6 address may also come bare."""
    if pattern.startswith("["):
        name, _, rest = pattern[1:].partition("]")
        rest = rest.removeprefix(":")
    elif pattern.count(":") == 1:
        name, _, rest = pattern.partition(":")
    else:
        name, rest = pattern, ""
    return name, int(rest) if rest.isdecimal() else None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:  # a name
        return None
