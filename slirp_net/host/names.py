"""Names that the stack itself knows: what a source of them is, and the one of the names in the configuration."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class Names(Protocol):
        """A source of names; what it does not know is asked of the next source, and at last of the host's name servers.

        `is_last_word` tells that its names have no records that it does not know of.
        """

        is_last_word: bool

        def addresses(self, name: str) -> Sequence[bytes] | None:
            """Return the addresses (4 or 16 bytes each) of a lower-case name without its last dot; None if it is not known here."""

        def name_of(self, address: bytes) -> str | None:
            """Return the name of an address (4 or 16 bytes), or None."""


class FixedNames:
    """Names that do not change: a lower-case name has one address."""

    is_last_word = True

    def __init__(self, names: Mapping[str, bytes]) -> None:
        self._names = names

    def addresses(self, name: str) -> Sequence[bytes] | None:
        """See `Names`."""
        address = self._names.get(name)
        return None if address is None else [address]

    def name_of(self, address: bytes) -> str | None:
        """Return the first of the address's names."""
        return next((name for name, own in self._names.items() if own == address), None)
