"""The device on the container's side: a tap with virtio headers (the kernel's networking/tuntap.rst, linux/if_tun.h).

A frame in a slot is: 10 bytes of virtio header, 14 of Ethernet, then the packet. With the offloads set here the container's kernel
hands over TCP super-segments of up to 64 KiB, whatever its MTU, and computes no checksums; it takes the same from us.
"""

from __future__ import annotations

import os
from errno import EAGAIN, EBADFD, EFAULT, EIO, ENOBUFS, ENOMEM
from fcntl import ioctl
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
_LOSSES: Final = frozenset({EAGAIN, EIO, ENOBUFS, ENOMEM, EBADFD, EFAULT})


class Tap:
    """An attached tap, whose descriptor it owns."""

    __slots__ = ("descriptor", "lost")

    def __init__(self, descriptor: int) -> None:
        """Set the offloads of a tap made with IFF_VNET_HDR. Raises `OSError`."""
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
        except BlockingIOError:
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
