"""What the engine says about the network: the fields of the request `attach`."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_aton, inet_pton

from slirp_net.wire import ethernet, ipv4, ipv6, tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_LEAST_MTU: Final = 576
_LARGEST_MTU: Final = 65535
LINK_LOCAL: Final = bytes.fromhex("fe80000000000000")  # RFC 4291, 2.5.6


class Configuration6:
    """The IPv6 part of the network; `own` are the stack's addresses: the gateway's two and the name server's."""

    __slots__ = ("_mask", "address", "dns", "gateway", "link_local", "own", "prefix", "prefix_length")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Read address ("fd00::100/64"), gateway and dns. Raises `ValueError` or `OSError` for a bad value, `KeyError`."""
        address, _, prefix = str(fields["address"]).partition("/")
        self.prefix_length = int(prefix)
        if not 0 <= self.prefix_length <= 128:
            raise ValueError(f"not the length of a prefix: {prefix}")
        self._mask = (1 << 128) - (1 << 128 - self.prefix_length)
        self.address = inet_pton(AF_INET6, address)
        self.prefix = (int.from_bytes(self.address, "big") & self._mask).to_bytes(16, "big")
        self.gateway = inet_pton(AF_INET6, str(fields["gateway"]))
        self.dns = inet_pton(AF_INET6, str(fields["dns"]))
        self.link_local = LINK_LOCAL + self.gateway[8:]
        self.own = frozenset({self.gateway, self.dns, self.link_local})

    def in_subnet(self, address: bytes) -> bool:
        """Tell whether an address is in the container's own subnet."""
        return int.from_bytes(address, "big") & self._mask == int.from_bytes(self.prefix, "big")


class Configuration:
    """The network as the container sees it; addresses are bytes in network order, `names` maps lower-case names to addresses.

    `network6` is None where the container has no IPv6.
    """

    __slots__ = ("address", "allow_host_loopback", "dns", "gateway", "gateway_mac", "mac", "mask", "mtu", "names", "network6")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Read the fields of `attach`. Raises `ValueError` or `OSError` for a bad value, `KeyError` for a missing one."""
        address, _, prefix = str(fields["address"]).partition("/")
        if not 0 <= int(prefix) <= 32:
            raise ValueError(f"not the length of a prefix: {prefix}")
        self.address = parse_ipv4(address)
        self.mask = 0xFFFFFFFF ^ (0xFFFFFFFF >> int(prefix))
        self.gateway = parse_ipv4(fields["gateway"])
        self.dns = parse_ipv4(fields["dns"])
        self.mtu = int(fields["mtu"])
        if not _LEAST_MTU <= self.mtu <= _LARGEST_MTU:
            raise ValueError(f"the MTU is not between {_LEAST_MTU} and {_LARGEST_MTU}: {self.mtu}")
        network6 = fields.get("ipv6")
        self.network6 = None if network6 is None else Configuration6(network6)
        if self.network6 is not None and self.mtu < ipv6.LEAST_MTU:
            raise ValueError(f"the MTU is too small for IPv6: {self.mtu}")
        self.mac = ethernet.parse_address(str(fields["mac"]))
        self.gateway_mac = ethernet.parse_address(str(fields["gateway_mac"]))
        self.allow_host_loopback = bool(fields.get("allow_host_loopback", False))
        self.names = {name.lower().rstrip("."): parse_ipv4(value) for name, value in dict(fields.get("names", {})).items()}

    @property
    def mss4(self) -> int:
        """The largest TCP payload of one IPv4 packet, in bytes (RFC 9293, 3.7.1)."""
        return self.mtu - ipv4.LENGTH - tcp.LENGTH

    @property
    def mss6(self) -> int:
        """The largest TCP payload of one IPv6 packet, in bytes."""
        return self.mtu - ipv6.LENGTH - tcp.LENGTH

    def own_address(self, peer: bytes) -> bytes:
        """Return the container's address of the version of `peer`'s. Raises `ValueError` for an IPv6 one without IPv6."""
        if len(peer) == len(self.address):
            return self.address
        if self.network6 is None:
            raise ValueError("no IPv6")
        return self.network6.address

    def is_broadcast(self, address: bytes) -> bool:
        """Tell whether an IPv4 address of the subnet is that of all its hosts (RFC 1122, 3.2.1.3)."""
        return int.from_bytes(address, "big") | self.mask == 0xFFFFFFFF

    def in_subnet(self, address: bytes) -> bool:
        """Tell whether an IPv4 address is in the container's own subnet."""
        return not (int.from_bytes(address, "big") ^ int.from_bytes(self.address, "big")) & self.mask


def parse_ipv4(text: str) -> bytes:
    """Return the four bytes of "10.0.2.2". Raises `OSError`."""
    inet_pton(AF_INET, text)  # inet_aton takes much more than dotted quads
    return inet_aton(text)
