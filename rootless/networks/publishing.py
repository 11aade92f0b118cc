"""Which ports of a container are to be published, as `-p` says it and as Docker's records have it.

    -p [[HOST-ADDRESS:][HOST-PORT[-LAST]]:]PORT[-LAST][/tcp|udp]

In a record (HostConfig.PortBindings) that is {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}; no address stands for all of them,
IPv4 and IPv6, no port for any that is free when the container starts, and FIRST-LAST for any of those that is.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rootless.errors import InvalidInput

Bindings: TypeAlias = dict[str, list[dict[str, str]]]
"""As in HostConfig.PortBindings and NetworkSettings.Ports."""

PROTOCOLS: Final = ("tcp", "udp")
_HINT: Final = "give [[ADDRESS:][HOST-PORT]:]PORT[/tcp|udp]; an IPv6 address in brackets; ranges as FIRST-LAST"


def parse(texts: Iterable[str]) -> Bindings:
    """Return what the values of `-p` ask for. Raises `InvalidInput`."""
    bindings: Bindings = {}
    for text in texts:
        for port, binding in _parse_one(text):
            if binding not in bindings.setdefault(port, []):
                bindings[port].append(binding)
    return bindings


def with_exposed(bindings: Mapping[str, Sequence[Mapping[str, str]]], exposed: Iterable[str]) -> Bindings:
    """Return what `-P` asks for: also every exposed port (80/tcp) at some port of the node."""
    whole = {port: [dict(one) for one in ones] for port, ones in bindings.items()}
    for port in exposed:
        if port.rpartition("/")[2] in PROTOCOLS:
            whole.setdefault(port, [{"HostIp": "", "HostPort": ""}])
    return whole


def range_of(host_port: str) -> tuple[int, int]:
    """Return the first and the last port of `HostPort`; 0 and 0 for any port."""
    first, _, last = host_port.partition("-")
    return int(first or 0), int(last or first or 0)


def shown(ports: Mapping[str, Any], exposed: Iterable[str]) -> str:
    """Return what `docker ps` has in PORTS: `0.0.0.0:8000-8001->80-81/tcp, 53/udp`; `ports` as in NetworkSettings.Ports."""
    rows = []
    for port, ones in ports.items():
        number, _, protocol = port.partition("/")
        rows += [(_host(one["HostIp"]), protocol, int(number), int(one["HostPort"])) for one in ones or ()]
    lone = [port.partition("/") for port in exposed if not ports.get(port)]
    rows += [("", protocol, int(number), 0) for number, _, protocol in lone]
    groups: list[list[tuple[str, str, int, int]]] = []
    for row in sorted(rows):
        last = groups[-1][-1] if groups else None
        if last is not None and row[:2] == last[:2] and row[2] == last[2] + 1 and row[3] == last[3] + bool(row[3]):
            groups[-1].append(row)
        else:
            groups.append([row])
    return ", ".join(_group_text(group[0], group[-1]) for group in sorted(groups, key=lambda group: (group[0][2], group[0][1])))


def endpoint(binding: Mapping[str, str]) -> str:
    """Return `0.0.0.0:8080` or `[::]:8080`."""
    return f"{_host(binding['HostIp'])}:{binding['HostPort']}"


def _group_text(first: tuple[str, str, int, int], last: tuple[str, str, int, int]) -> str:
    host, protocol = first[:2]
    inside = f"{_numbers(first[2], last[2])}/{protocol}"
    return f"{host}:{_numbers(first[3], last[3])}->{inside}" if host else inside


def _numbers(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _parse_one(text: str) -> list[tuple[str, dict[str, str]]]:
    rest, _, protocol = text.partition("/")
    if (protocol := protocol.lower() or "tcp") not in PROTOCOLS:
        raise InvalidInput(f"invalid proto: {protocol} in {text!r}", "choose tcp or udp: the network carries no other ports")
    front, _, inside = rest.rpartition(":")
    address, _, outside = front.rpartition(":")
    if not inside:
        raise InvalidInput(f"no port specified: {text!r}", _HINT)
    address = _check_address(address, text)
    first, last = _ports(inside, "containerPort", text)
    numbers = [f"{number}/{protocol}" for number in range(first, last + 1)]
    if not outside or outside == "0":
        return [(number, {"HostIp": address, "HostPort": ""}) for number in numbers]
    host_first, host_last = _ports(outside, "hostPort", text)
    if first == last:
        return [(numbers[0], {"HostIp": address, "HostPort": _numbers(host_first, host_last)})]
    if host_last - host_first != last - first:
        raise InvalidInput(f"invalid ranges specified for container and host Ports: {inside} and {outside}", "let both be as long")
    return [(number, {"HostIp": address, "HostPort": str(host_first + index)}) for index, number in enumerate(numbers)]


def _check_address(address: str, text: str) -> str:
    if not address:
        return ""
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        raise InvalidInput(f"invalid IP address: {address} in {text!r}", _HINT) from None
    if found.version == 6 and bare is address:
        raise InvalidInput(f"invalid IP address: {address} in {text!r}", "put an IPv6 address in brackets")
    return str(found)


def _ports(numbers: str, what: str, text: str) -> tuple[int, int]:
    first, separator, last = numbers.partition("-")
    ends = [int(end) if end.isascii() and end.isdecimal() and len(end) <= 5 else 0 for end in (first, last if separator else first)]
    if not 0 < ends[0] <= ends[1] <= 65535:
        raise InvalidInput(f"invalid {what}: {numbers} in {text!r}", "give a port or FIRST-LAST, 1 to 65535")
    return ends[0], ends[1]
