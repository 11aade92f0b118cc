"""The files that tell a container its names: /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from rootless.networks.modes import HOST_NAMES, Network

_LOCALHOST = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts(network: Network, hostname: str) -> str:
    """Return the container's /etc/hosts."""
    lines = _LOCALHOST
    if network.private is not None:
        lines += f"{network.private.gateway}\t{' '.join(HOST_NAMES)}\n{network.private.address}\t{hostname}\n"
    elif network.mode == "host":
        lines += f"127.0.0.1\t{' '.join((*HOST_NAMES, hostname))}\n"
    return lines


def resolv_conf(network: Network, node_resolv_conf: str) -> str:
    """Return the container's /etc/resolv.conf, from the node's.

    A private network asks its own stack, which follows the node's name servers as they change; search domains and options are
    taken over. The node's own network takes the file as it is; without a network there is nobody to ask.
    """
    if network.mode == "host":
        return node_resolv_conf
    kept = [line for line in node_resolv_conf.splitlines() if line.split()[:1] in (["search"], ["options"], ["domain"])]
    servers = [f"nameserver {network.private.dns}"] if network.private is not None else []
    return "".join(f"{line}\n" for line in (*servers, *kept))


def read_node_resolv_conf(path: str = "/etc/resolv.conf") -> str:
    """Return the node's resolv.conf, or "" where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
