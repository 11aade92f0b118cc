"""The device on the container's side: a tap, or a packet socket at the other end of the container's veth device.

Both have virtio headers: see the kernel's networking/tuntap.rst and linux/if_tun.h, and packet(7) with PACKET_VNET_HDR. A frame in
a slot is: 10 bytes of virtio header, 14 of Ethernet, then the packet. With the offloads of both the container's kernel hands over
TCP super-segments of up to 64 KiB, whatever its MTU, and computes no checksums; it takes the same from us.

A tap has a queue of its own, and a full one makes the container's kernel wait. A packet socket has a buffer, and what comes when
it is full is lost.
"""

from __future__ import annotations

import os
from errno import EAGAIN, EBADFD, EFAULT, EINVAL, EIO, ENETDOWN, ENOBUFS, ENOMEM, ENXIO
from fcntl import ioctl
from stat import S_ISSOCK
from struct import Struct

from slirp_net.wire import ethernet, vnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from slirp_net.buffers import Slot

ETHERNET_AT: Final = vnet.LENGTH
PACKET_AT: Final = ETHERNET_AT + ethernet.LENGTH

_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_HEADER_SIZE: Final = Struct("=i").pack(vnet.LENGTH)
_TUN_F_CSUM = 0x01
_TUN_F_TSO4 = 0x02
_TUN_F_TSO6 = 0x04
_TUN_F_TSO_ECN = 0x08

# The device is down or has no room: the frame is lost, as on any wire, and TCP sends it again.
_LOSSES: Final = frozenset({EAGAIN, EIO, ENOBUFS, ENOMEM, EBADFD, EFAULT, ENETDOWN, ENXIO})
# A frame that no header can describe, and which the kernel has dropped; or the end of the device, which shows otherwise, too.
_UNREADABLE: Final = frozenset({EAGAIN, EINVAL, ENETDOWN})


class Device:
    """An attached device, whose descriptor it owns."""

    __slots__ = ("descriptor", "is_socket", "lost")

    def __init__(self, descriptor: int) -> None:
        """Use a tap made with IFF_VNET_HDR, whose offloads this sets, or a packet socket with PACKET_VNET_HDR. Raises `OSError`."""
        self.is_socket = S_ISSOCK(os.fstat(descriptor).st_mode)
        if not self.is_socket:
            ioctl(descriptor, _TUNSETVNETHDRSZ, _HEADER_SIZE)
            ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN)
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.lost = 0

    def read(self, slot: Slot) -> int:
        """Read a frame into `slot` and return its length with the virtio header; 0 when there is none.

        Raises `OSError` when the device is gone.
        """
        try:
            return os.readv(self.descriptor, (slot.view,))
        except OSError as error:
            if error.errno not in _UNREADABLE:
                raise
            return 0

    def write(self, parts: tuple[bytes | memoryview, ...]) -> None:
        """Send the frame that `parts` make up, the virtio header first. Raises `OSError` but for what counts as a loss."""
        try:
            os.writev(self.descriptor, parts)
        except OSError as error:
            if error.errno not in _LOSSES:
                raise
            self.lost += 1

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
