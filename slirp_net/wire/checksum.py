"""The Internet checksum (RFC 1071), by arithmetic on one big integer.

A sum of 16-bit words with end-around carry is the number modulo 0xFFFF, because 0x10000 is 1 modulo 0xFFFF. CPython takes the
remainder of a big integer by a small one in one pass in C, far faster than a loop over words.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MODULUS: Final = 0xFFFF


def word_sum(data: bytes | memoryview) -> int:
    """Return the sum of the big-endian 16-bit words of `data`, an odd last byte padded with zero; 0..0xFFFE."""
    total = int.from_bytes(data, "big")
    return (total << 8 if len(data) & 1 else total) % MODULUS


def checksum(data: bytes | memoryview, initial: int = 0) -> int:
    """Return the checksum field for `data`, whose own checksum field is zero; 1..0xFFFF, so it suits UDP, where 0 means none.

    `initial` is added to the sum: that of a pseudo-header.
    """
    return MODULUS - (word_sum(data) + initial) % MODULUS


def is_valid(data: bytes | memoryview, initial: int = 0) -> bool:
    """Tell whether `data`, with its checksum field, sums up to zero."""
    return (word_sum(data) + initial) % MODULUS == 0
