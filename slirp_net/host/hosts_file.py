"""The names of the host's /etc/hosts (hosts(5)), as the host's own resolver knows them, followed as they change.

Addresses that mean something else in the container are passed over: those of the loopback, of one link, and none at all.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton

from slirp_net.host.followed_file import FollowedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

PATH: Final = "/etc/hosts"
_FIRST_MULTICAST: Final = 224
_NO_ADDRESSES: Final = (bytes(16), bytes(15) + b"\1")  # ::, ::1


class HostsFile:
    """A source of names (`names.Names`)."""

    is_last_word = False  # the domain name system may have other records of the same names

    def __init__(self, path: str = PATH) -> None:
        self._file = FollowedFile(path)
        self._addresses: dict[str, list[bytes]] = {}
        self._names: dict[bytes, str] = {}

    def addresses(self, name: str) -> Sequence[bytes] | None:
        """See `Names`."""
        self._look()
        return self._addresses.get(name)

    def name_of(self, address: bytes) -> str | None:
        """See `Names`."""
        self._look()
        return self._names.get(address)

    def _look(self) -> None:
        text = self._file.change()
        if text is None:
            return
        self._addresses, self._names = {}, {}
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            address = _parse(words[0]) if len(words) > 1 else None
            if address is None:
                continue
            for word in words[1:]:
                self._addresses.setdefault(word.lower().rstrip("."), []).append(address)
            self._names.setdefault(address, words[1].lower().rstrip("."))


def _parse(text: str) -> bytes | None:
    """Return the address of a line, or None for one to pass over."""
    try:
        address = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except OSError:  # no address, or one with a zone
        return None
    if len(address) == 4:
        is_elsewhere = address[0] in (0, 127) or address[0] >= _FIRST_MULTICAST or address[:2] == b"\xa9\xfe"
    else:
        is_elsewhere = address in _NO_ADDRESSES or address[0] == 0xFF or (address[0] == 0xFE and address[1] & 0xC0 == 0x80)
    return None if is_elsewhere else address
