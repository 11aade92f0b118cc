"""Domain names: as bytes of a message (RFC 1035, 4.1.4), and those that stand for addresses (3.5; RFC 3596, 2.5)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST_LABEL: Final = 63
LONGEST_NAME: Final = 255  # bytes, with the lengths of its labels and the end
_POINTER: Final = 0xC0
_IPV4_END: Final = ".in-addr.arpa"
_IPV6_END: Final = ".ip6.arpa"


def end_of(message: bytes | memoryview, at: int) -> int:
    """Return where the name that begins at `at` ends in a message, or 0 when it is broken. Pointers are not followed."""
    limit = min(len(message), at + LONGEST_NAME)
    while at < limit:
        length = message[at]
        if length >= _POINTER:
            return at + 2
        at += 1 + length
        if not length:
            return at
        if length > LONGEST_LABEL:
            return 0
    return 0


def emit(name: str) -> bytes:
    """Return the bytes of a name like "web.example", without pointers."""
    labels = [label.encode("latin-1") for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def address_of(name: str) -> bytes | None:
    """Return the address (4 or 16 bytes) whose name is asked for by a lower-case `name`, or None when it is no such name."""
    try:
        if name.endswith(_IPV4_END):
            address = bytes(int(part) for part in reversed(name.removesuffix(_IPV4_END).split(".")))
            return address if len(address) == 4 else None
        if name.endswith(_IPV6_END):
            address = bytes.fromhex("".join(reversed(name.removesuffix(_IPV6_END).split("."))))
            return address if len(address) == 16 else None
    except ValueError:  # not numbers
        pass
    return None
