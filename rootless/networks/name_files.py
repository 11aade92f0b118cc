"""The files that tell a container its names: /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rootless.networks.modes import HOST_NAMES, Network

HOST_GATEWAY: Final = "host-gateway"
"""Stands for the node's address in `--add-host`."""

_LOCALHOST = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class Resolving(NamedTuple):
    """What the user asks for in /etc/resolv.conf; empty is the default."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # "." alone is none at all
    options: tuple[str, ...] = ()


def hosts(network: Network, hostname: str, domain: str = "", extra: Sequence[str] = ()) -> str:
    """Return the container's /etc/hosts; `extra` are HostConfig.ExtraHosts, NAME:ADDRESS or NAME:host-gateway."""
    lines = _LOCALHOST
    own = f"{hostname}.{domain} {hostname}" if domain else hostname
    if network.private is not None:
        lines += f"{network.private.gateway}\t{' '.join(HOST_NAMES)}\n{network.private.address}\t{own}\n"
    elif network.mode == "host":
        lines += f"127.0.0.1\t{' '.join((*HOST_NAMES, own))}\n"
    for entry in extra:
        name, _, address = entry.partition(":")
        if address == HOST_GATEWAY:
            address = network.private.gateway if network.private is not None else "127.0.0.1"
        lines += f"{address}\t{name}\n"
    return lines


def resolv_conf(network: Network, node_resolv_conf: str, asked: Resolving = Resolving()) -> str:  # noqa: B008 - it is frozen
    """Return the container's /etc/resolv.conf, from the node's and from what the user asks for.

    A private network asks its own stack, which follows the node's name servers as they change; search domains and options are
    taken over. The node's own network takes the file as it is; without a network there is nobody to ask.
    """
    if network.mode == "host" and not any(asked):
        return node_resolv_conf
    if asked.servers:
        lines = [f"nameserver {server}" for server in asked.servers]
    elif network.mode == "host":
        lines = _kept(node_resolv_conf, "nameserver")
    else:
        lines = [f"nameserver {network.private.dns}"] if network.private is not None else []
    if not any((asked.search, asked.options)):
        lines += _kept(node_resolv_conf, "search", "options", "domain")
    else:
        domains = [domain for domain in asked.search if domain != "."]
        own_search = [f"search {' '.join(domains)}"] if domains else []
        lines += own_search if asked.search else _kept(node_resolv_conf, "search", "domain")
        lines += [f"options {' '.join(asked.options)}"] if asked.options else _kept(node_resolv_conf, "options")
    return "".join(f"{line}\n" for line in lines)


def _kept(node_resolv_conf: str, *keywords: str) -> list[str]:
    return [line for line in node_resolv_conf.splitlines() if line.split()[:1] and line.split()[0] in keywords]


def read_node_resolv_conf(path: str = "/etc/resolv.conf") -> str:
    """Return the node's resolv.conf, or "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
