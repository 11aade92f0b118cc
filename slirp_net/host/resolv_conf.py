"""The host's name servers: resolv.conf(5), followed as it changes (a VPN, another network).

That it changed is told as well: what servers of another network have said may be wrong now.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton

from slirp_net.host.followed_file import FollowedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATH: Final = "/etc/resolv.conf"
_MOST_SERVERS: Final = 3  # resolv.conf(5): MAXNS
# What the C library asks when the file names no server.
_DEFAULT: Final = ("127.0.0.1",)


class NameServers:
    """The addresses that the file names at the moment; `changes` counts how often that was read anew."""

    def __init__(self, path: str = PATH) -> None:
        self._file = FollowedFile(path)
        self._servers: tuple[str, ...] = _DEFAULT
        self.changes = 0

    def current(self) -> tuple[str, ...]:
        """Return one to three addresses, IPv4 or IPv6 (perhaps with a zone), in the order to ask them."""
        text = self._file.change()
        if text is not None:
            self._servers = parse(text) or _DEFAULT
            self.changes += 1
        return self._servers


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
