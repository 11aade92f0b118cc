"""What the options of names and addresses take: `--add-host`, `--dns…`, `--domainname`, `--expose`, `--mac-address`."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from rootless.containers.host_names import check_hostname
from rootless.containers.namespace_modes import OF_CONTAINER
from rootless.errors import InvalidInput
from rootless.networks.name_files import HOST_GATEWAY


def parse_hosts(texts: Sequence[str], network: str) -> list[str]:
    """Return HostConfig.ExtraHosts for `NAME[;NAME]…:ADDRESS`, or `=` in place of the first colon. Raises `InvalidInput`."""
    entries: list[str] = []
    for text in texts:
        position = min((place for place in (text.find(":"), text.find("=")) if place >= 0), default=-1)
        names, address = text[: max(position, 0)], text[position + 1 :]
        if position < 0 or not address or not all(names.split(";")) or any(letter.isspace() for letter in names):
            raise InvalidInput(f"bad format for add-host: {text!r}", "entries look like NAME:10.1.2.3 or NAME:host-gateway")
        if address != HOST_GATEWAY:
            address = _address(address.removeprefix("[").removesuffix("]"), f"invalid IP address in add-host: {address!r}")
        elif network == "none":
            raise InvalidInput(f"--add-host {text}: without a network the host has no address here", "leave out --network none")
        entries += [f"{name}:{address}" for name in names.split(";")]
    return entries


def parse_servers(texts: Sequence[str]) -> list[str]:
    """Return HostConfig.Dns. Raises `InvalidInput`."""
    return [_address(text, f'invalid argument "{text}" for "--dns" flag: {text} is not an ip address') for text in texts]


def check_domains(texts: Sequence[str]) -> list[str]:
    """Return HostConfig.DnsSearch; "." is none at all. Raises `InvalidInput`."""
    for text in texts:
        labels = text.strip(".").split(".")
        if text != "." and not all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels):
            raise InvalidInput(f'invalid argument "{text}" for "--dns-search" flag: {text} is not a valid domain')
    return list(texts)


def check_options(texts: Sequence[str]) -> list[str]:
    """Return HostConfig.DnsOptions. Raises `InvalidInput`."""
    for text in texts:
        if not text or any(letter.isspace() for letter in text):
            raise InvalidInput(f"invalid --dns-option: {text!r}", "see resolv.conf(5) for the options")
    return list(texts)


def check_domain_name(name: str) -> str:
    """Return a name that setdomainname(2) takes. Raises `InvalidInput`."""
    try:
        check_hostname(name)
    except InvalidInput as error:
        raise InvalidInput(f"invalid domainname: {name[:100]!r}", error.hint) from None
    return name


def check_conflicts(fields: dict[str, Any], network: str, uts: str) -> None:
    """Raise `InvalidInput`, in Docker's words, for what the network of another container excludes; `fields` are what was given."""
    if network.startswith(OF_CONTAINER):
        for name in fields:
            raise InvalidInput(f"conflicting options: {name} and the network mode", "it is the other container's: leave it out")
    if uts and "domainname" in fields:
        raise InvalidInput("conflicting options: domainname and the UTS mode", "the domain name is the namespace's: leave one out")


def parse_exposed(texts: Sequence[str]) -> tuple[str, ...]:
    """Return ports as Config.ExposedPorts has them, `PORT/PROTOCOL`, for `PORT[-PORT][/PROTOCOL]`. Raises `InvalidInput`."""
    ports: list[str] = []
    for text in texts:
        numbers, _, protocol = text.partition("/")
        first, separator, last = numbers.partition("-")
        ends = [int(end) if end.isascii() and end.isdecimal() else 0 for end in (first, last if separator else first)]
        if not 0 < ends[0] <= ends[1] <= 65535:
            raise InvalidInput(f"invalid range format for --expose: {text}", "give PORT or PORT-PORT, 1 to 65535")
        if (protocol := (protocol or "tcp").lower()) not in ("tcp", "udp", "sctp"):
            raise InvalidInput(f"invalid protocol for --expose: {text}", "choose tcp, udp or sctp")
        ports += [f"{port}/{protocol}" for port in range(ends[0], ends[1] + 1)]
    return tuple(dict.fromkeys(ports))


def check_mac(text: str) -> str:
    """Return an address of one device, in lower case with colons. Raises `InvalidInput`."""
    parts = text.lower().replace("-", ":").split(":")
    good = len(parts) == 6 and all(len(part) == 2 and set(part) <= set("0123456789abcdef") for part in parts)
    if not good or int(parts[0], 16) & 1 or set(parts) == {"00"}:
        raise InvalidInput(f"{text} is not a valid mac address", "give six bytes, the first of them even: 02:42:ac:11:00:02")
    return ":".join(parts)


def _address(text: str, complaint: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidInput(complaint, "give an IPv4 or IPv6 address") from None
