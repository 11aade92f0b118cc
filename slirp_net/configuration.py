"""What the engine says about the network: the fields of the request `attach`."""

from __future__ import annotations

from _socket import AF_INET, inet_aton, inet_pton

from slirp_net.wire import ethernet, ipv4, tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

_LEAST_MTU: Final = 576
_LARGEST_MTU: Final = 65535


class Configuration:
    """The network as the container sees it; addresses are bytes in network order, `names` maps lower-case names to addresses."""

    __slots__ = ("address", "allow_host_loopback", "dns", "gateway", "gateway_mac", "mac", "mask", "mtu", "names")

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
        self.mac = ethernet.parse_address(str(fields["mac"]))
        self.gateway_mac = ethernet.parse_address(str(fields["gateway_mac"]))
        self.allow_host_loopback = bool(fields.get("allow_host_loopback", False))
        self.names = {name.lower().rstrip("."): parse_ipv4(value) for name, value in dict(fields.get("names", {})).items()}

    @property
    def mss4(self) -> int:
        """The largest TCP payload of one IPv4 packet, in bytes (RFC 9293, 3.7.1)."""
        return self.mtu - ipv4.LENGTH - tcp.LENGTH

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
