"""A pair of virtual Ethernet devices, for nodes without /dev/net/tun: veth(4), packet(7), rtnetlink(7), linux/ethtool.h.

Theory of operation. One end is the container's, the other lies in a network namespace that nobody is in, where a packet socket
takes its frames and sends some, with virtio-net headers as a tap has them (PACKET_VNET_HDR). The socket keeps that namespace,
and with it the pair. Its kernel has nothing to say: the device there has no address, and no frame is addressed to it.
"""

import array
import contextlib
import fcntl
import os
import struct
from _socket import AF_INET, AF_PACKET, SO_RCVBUF, SO_SNDBUF, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET, socket
from collections.abc import Iterator
from typing import Final

from rootless.linux import namespaces
from rootless.linux.interfaces import Interfaces

_PEER: Final = "peer"
_BUFFER: Final = 8 << 20  # bytes; the kernel's limit for users is mostly less (net.core.rmem_max)

_AF_NETLINK = 16
_NETLINK_ROUTE = 0
_RTM_NEWLINK = 16
_FLAGS = 0x605  # request, with acknowledgement, create, exclusively
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_VETH_INFO_PEER = 1
_HEADER = struct.Struct("=LHHLL")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiLL")  # struct ifinfomsg
_ERROR = struct.Struct("=i")

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23

_SIOCETHTOOL = 0x8946
_ETHTOOL_GSTRINGS = 0x1B
_ETHTOOL_GSSET_INFO = 0x37
_ETHTOOL_SFEATURES = 0x3B
_ETH_SS_FEATURES = 4
_NAME_LENGTH = 32
# What a packet socket's headers can tell; others would come as one packet that stands for many and does not say so.
_SEGMENTATION: Final = frozenset(
    {"tx-tcp-segmentation", "tx-tcp-ecn-segmentation", "tx-tcp-mangleid-segmentation", "tx-tcp6-segmentation"}
)


def create_veth(name: str, mtu: int) -> int:
    """Make a device in the caller's network namespace and return the packet socket at its other end.

    The device lives as long as the socket, which the caller closes. Raises `OSError`.
    """
    ours = namespaces.open_namespace(os.getpid(), namespaces.NEWNET)
    try:
        namespaces.unshare(namespaces.NEWNET)
        try:
            with contextlib.suppress(
                OSError
            ):  # /proc is read-only, or there is no IPv6: its messages go to a link without a router
                _write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
            _create_pair(name, ours, mtu)
            _set_up(_PEER)  # a socket bound to a device that is down has an error at once
            packets = _open_packet_socket(_PEER)
        finally:
            namespaces.setns(ours, namespaces.NEWNET)
    finally:
        os.close(ours)
    try:
        _limit_segmentation(name)
    except OSError:
        os.close(packets)
        raise
    return packets


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _set_up(name: str) -> None:
    interfaces = Interfaces()
    try:
        interfaces.set_up(name)
    finally:
        interfaces.close()


def _create_pair(name: str, namespace: int, mtu: int) -> None:
    """Make the pair: `_PEER` here, and `name` in the network namespace of a descriptor."""
    size = _attribute(_IFLA_MTU, struct.pack("=L", mtu))
    other = _LINK.pack(0, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, name.encode() + b"\0") + size
    other += _attribute(_IFLA_NET_NS_FD, struct.pack("=L", namespace))
    data = _attribute(_IFLA_INFO_DATA, _attribute(_VETH_INFO_PEER, other))
    info = _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, b"veth\0") + data)
    body = _LINK.pack(0, 0, 0, 0, 0) + _attribute(_IFLA_IFNAME, _PEER.encode() + b"\0") + size + info
    netlink = socket(_AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, _NETLINK_ROUTE)
    try:
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _RTM_NEWLINK, _FLAGS, 1, 0) + body)
        (number,) = _ERROR.unpack_from(netlink.recv(4096), _HEADER.size)
    finally:
        netlink.close()
    if number:
        raise OSError(-number, f"cannot make a veth pair: {os.strerror(-number)}")


def _attribute(kind: int, value: bytes) -> bytes:
    """Return a struct rtattr with its value, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _open_packet_socket(name: str) -> int:
    """Return the descriptor of a socket for all frames that come to a device from its wire."""
    packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)
    try:
        packets.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        packets.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        packets.setsockopt(SOL_SOCKET, SO_RCVBUF, _BUFFER)
        packets.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER)
        packets.bind((name, _ETH_P_ALL))
    except OSError:
        packets.close()
        raise
    return packets.detach()


def _limit_segmentation(name: str) -> None:
    """Have the kernel itself cut what the packet socket could not tell from one packet: UDP and tunnels."""
    any_socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
    try:
        features = list(_features(any_socket, name))
        others = sum(1 << number for number, feature in enumerate(features) if _is_other_segmentation(feature))
        words = [others >> at & 0xFFFFFFFF for at in range(0, len(features), 32)]
        blocks = b"".join(struct.pack("=LL", word, 0) for word in words)  # which are changed, and to what
        _ethtool(any_socket, name, struct.pack("=LL", _ETHTOOL_SFEATURES, len(words)) + blocks)
    finally:
        any_socket.close()


def _is_other_segmentation(feature: str) -> bool:
    is_segmentation = feature == "tx-gso-list" or (feature.startswith("tx-") and feature.endswith("-segmentation"))
    return is_segmentation and feature not in _SEGMENTATION


def _features(any_socket: socket, name: str) -> Iterator[str]:
    """Yield the names of the offloads that the kernel knows, by number."""
    counted = _ethtool(any_socket, name, struct.pack("=LLQL", _ETHTOOL_GSSET_INFO, 0, 1 << _ETH_SS_FEATURES, 0))
    (count,) = struct.unpack_from("=L", counted, 16)
    names = _ethtool(
        any_socket, name, struct.pack("=LLL", _ETHTOOL_GSTRINGS, _ETH_SS_FEATURES, count) + bytes(count * _NAME_LENGTH)
    )
    for at in range(12, len(names), _NAME_LENGTH):
        yield names[at : at + _NAME_LENGTH].partition(b"\0")[0].decode()


def _ethtool(any_socket: socket, name: str, request: bytes) -> bytes:
    buffer = array.array("B", request)
    try:
        fcntl.ioctl(any_socket.fileno(), _SIOCETHTOOL, struct.pack("@16sP16x", name.encode(), buffer.buffer_info()[0]))
    except OSError as error:
        raise OSError(error.errno, f"ethtool: {error.strerror}", name) from None
    return buffer.tobytes()
