"""The header before each frame of a device with offloads: `struct virtio_net_hdr` (virtio 1.2, section 5.1.6; linux/virtio_net.h).

Its fields are in the machine's byte order on a tap. With NEEDS_CSUM the checksum field holds only the pseudo-header's sum, and
whoever needs the full one computes it from `csum_start` on: between a container and this process nobody does. With a `gso_type`
the frame is a super-segment that stands for many of `gso_size` bytes each.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
LENGTH: Final = _HEADER.size

NEEDS_CSUM: Final = 1
DATA_VALID: Final = 2
CHECKSUM_VOUCHED: Final = NEEDS_CSUM | DATA_VALID

GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4

PLAIN: Final = bytes(LENGTH)


def partial_checksum(header_length: int, csum_start: int, csum_offset: int) -> bytes:
    """Return the header of a frame whose checksum is not computed.

    Offsets in bytes, from the frame's start and from `csum_start`. `header_length` is only a hint, but a dear one: with all headers
    in the first part of its buffer the kernel need not move any of the payload (a third of the time of a large frame).
    """
    return _HEADER.pack(NEEDS_CSUM, GSO_NONE, header_length, 0, csum_start, csum_offset)


def super_segment(gso_type: int, header_length: int, segment_size: int, csum_start: int, csum_offset: int) -> bytes:
    """Return the header of a frame for segments of `segment_size` payload bytes; `header_length` is from the frame's start."""
    return _HEADER.pack(NEEDS_CSUM, gso_type, header_length, segment_size, csum_start, csum_offset)
