"""Network devices of the caller's network namespace by ioctl: netdevice(7), and the kernel's tuntap.rst.

A handful of ioctls replace rtnetlink here, because they run before the container's first instruction. Only IPv6 takes two messages
of rtnetlink(7): the ioctls have no way to say that an address needs no duplicate address detection, which would take a second.
"""

import fcntl
import os
import struct
from _socket import (  # the standard module costs 5 ms: see sockets.py
    AF_INET,
    AF_INET6,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_RAW,
    if_nametoindex,
    inet_aton,
    inet_pton,
    socket,
)
from typing import Final

_SIOCADDRT = 0x890B
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_SIOCSIFMTU = 0x8922
_SIOCSIFHWADDR = 0x8924
_TUNSETIFF = 0x400454CA

DEVICE_PATH: Final = "/dev/net/tun"

_IFF_UP = 1
_IFF_RUNNING = 64
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_ARPHRD_ETHER = 1
_RTF_UP = 1
_RTF_GATEWAY = 2

MAX_NAME: Final = 15

# rtnetlink(7): struct nlmsghdr, ifaddrmsg and rtmsg
_AF_NETLINK = 16
_NLMSGHDR = struct.Struct("IHHII")
_IFADDRMSG = struct.Struct("BBBBI")
_RTMSG = struct.Struct("BBBBBBBBI")
_RTM_NEWADDR = 20
_RTM_NEWROUTE = 24
_NLM_REQUEST_ACK_CREATE = 0x1 | 0x4 | 0x400
_IFA_LOCAL = 2
_IFA_F_NODAD = 0x02
_RT_TABLE_MAIN = 254
_RTPROT_STATIC = 4
_RTN_UNICAST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5


def create_tap(name: str) -> int:
    """Make a tap with virtio-net headers in the caller's network namespace; it lives as long as its descriptor.

    The caller closes the descriptor. Raises `OSError` naming /dev/net/tun.
    """
    device = os.open(DEVICE_PATH, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    request = struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
    try:
        fcntl.ioctl(device, _TUNSETIFF, request)
    except OSError as error:
        os.close(device)
        raise OSError(error.errno, f"TUNSETIFF: {error.strerror}", DEVICE_PATH) from None
    return device


class Interfaces:
    """The devices of the caller's network namespace; close it after use."""

    def __init__(self) -> None:
        self._socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)

    def close(self) -> None:
        """Close the socket that the ioctls go through."""
        self._socket.close()

    def set_up(self, name: str) -> None:
        """Bring a device up."""
        flags = struct.unpack_from("H", self._ioctl(_SIOCGIFFLAGS, name, b""), 16)[0]
        self._ioctl(_SIOCSIFFLAGS, name, struct.pack("H", flags | _IFF_UP | _IFF_RUNNING))

    def set_mtu(self, name: str, mtu: int) -> None:
        """Set the largest packet of a device, in bytes."""
        self._ioctl(_SIOCSIFMTU, name, struct.pack("i", mtu))

    def set_mac(self, name: str, mac: str) -> None:
        """Set the Ethernet address of a device that is down; `mac` is six hexadecimal bytes with colons."""
        self._ioctl(_SIOCSIFHWADDR, name, struct.pack("H6s", _ARPHRD_ETHER, bytes.fromhex(mac.replace(":", ""))))

    def set_address(self, name: str, address: str, prefix: int) -> None:
        """Give a device its IPv4 address and the length of its network's prefix."""
        self._ioctl(_SIOCSIFADDR, name, _ipv4(address))
        mask = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
        self._ioctl(_SIOCSIFNETMASK, name, _ipv4_bytes(struct.pack(">I", mask)))

    def add_default_route(self, gateway: str) -> None:
        """Route everything else through `gateway` (struct rtentry of route(8)'s ioctl)."""
        anywhere = _ipv4("0.0.0.0")  # noqa: S104 - a route's destination, nothing is bound to it
        entry = struct.pack("@L16s16s16sH", 0, anywhere, _ipv4(gateway), anywhere, _RTF_UP | _RTF_GATEWAY)
        fcntl.ioctl(self._socket.fileno(), _SIOCADDRT, entry.ljust(120, b"\0"))

    def set_ipv6(self, name: str, address: str, prefix: int, gateway: str) -> None:
        """Give a device that is up an IPv6 address, usable at once, and route everything else through `gateway`."""
        own, router = inet_pton(AF_INET6, address), inet_pton(AF_INET6, gateway)
        index = if_nametoindex(name)
        add_address = _IFADDRMSG.pack(AF_INET6, prefix, _IFA_F_NODAD, 0, index) + _attribute(_IFA_LOCAL, own)
        add_route = (
            _RTMSG.pack(AF_INET6, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, 0, _RTN_UNICAST, 0)
            + _attribute(_RTA_OIF, struct.pack("I", index))
            + _attribute(_RTA_GATEWAY, router)
        )
        netlink = socket(_AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
        try:
            for what, kind, message in (("RTM_NEWADDR", _RTM_NEWADDR, add_address), ("RTM_NEWROUTE", _RTM_NEWROUTE, add_route)):
                netlink.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(message), kind, _NLM_REQUEST_ACK_CREATE, 1, 0) + message)
                number = -struct.unpack_from("i", netlink.recv(4096), _NLMSGHDR.size)[0]
                if number:
                    raise OSError(number, f"{what}: {os.strerror(number)}", name)
        finally:
            netlink.close()

    def _ioctl(self, request: int, name: str, value: bytes) -> bytes:
        try:
            return fcntl.ioctl(self._socket.fileno(), request, struct.pack("16s24s", name.encode(), value))
        except OSError as error:
            raise OSError(error.errno, f"ioctl {request:#x}: {error.strerror}", name) from None


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value


def _ipv4(address: str) -> bytes:
    return _ipv4_bytes(inet_aton(address))


def _ipv4_bytes(address: bytes) -> bytes:
    return struct.pack("HH4s8x", AF_INET, 0, address)
