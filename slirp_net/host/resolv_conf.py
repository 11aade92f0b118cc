"""The host's name servers: resolv.conf(5), followed as it changes (a VPN, another network).

The file is looked at, by stat(2), whenever somebody asks; so nothing watches it, and a change counts from the next question on.
That it changed is told as well: what servers of another network have said may be wrong now.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, inet_pton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATH: Final = "/etc/resolv.conf"
_MOST_SERVERS: Final = 3  # resolv.conf(5): MAXNS
_LARGEST: Final = 65536
# What the C library asks when the file names no server.
_DEFAULT: Final = ("127.0.0.1",)


class NameServers:
    """The addresses that the file names at the moment; `changes` counts how often that was read anew."""

    def __init__(self, path: str = PATH) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = ()
        self.changes = 0
        self._servers: tuple[str, ...] = _DEFAULT

    def current(self) -> tuple[str, ...]:
        """Return one to three addresses, IPv4 or IPv6 (perhaps with a zone), in the order to ask them."""
        try:
            status = os.stat(self._path)
        except OSError:  # not there or not readable at the moment: as if empty, like the C library
            seen = None
        else:
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        if seen != self._seen:
            self._servers = self._read()
            self._seen = seen
            self.changes += 1
        return self._servers

    def _read(self) -> tuple[str, ...]:
        try:
            with open(self._path, "rb", buffering=0) as file:
                text = file.read(_LARGEST)
        except OSError:  # as above
            return _DEFAULT
        return parse(text.decode("ascii", "replace")) or _DEFAULT


def parse(text: str) -> tuple[str, ...]:
    """Return the first three valid name servers of a resolv.conf."""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and _is_address(words[1]):
            servers.append(words[1])
    return tuple(servers[:_MOST_SERVERS])


def _is_address(text: str) -> bool:
    family = AF_INET6 if ":" in text else AF_INET
    try:
        inet_pton(family, text.partition("%")[0])
    except OSError:
        return False
    return True
