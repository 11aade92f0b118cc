"""Docker's detach keys: a sequence of key strokes that leaves the container running (`ctrl-p,ctrl-q`)."""

from typing import Final

from rootless.errors import InvalidInput

DEFAULT: Final = "ctrl-p,ctrl-q"

_CONTROL: Final = {f"ctrl-{chr(code + 0x60)}": code for code in range(1, 27)} | {
    "ctrl-@": 0x00,
    "ctrl-[": 0x1B,
    "ctrl-\\": 0x1C,
    "ctrl-]": 0x1D,
    "ctrl-^": 0x1E,
    "ctrl-_": 0x1F,
    "DEL": 0x7F,
}


def parse(text: str) -> bytes:
    """Return the bytes of a key sequence; b"" for "", which never detaches. Raises `InvalidInput`."""
    if not text:
        return b""
    return bytes(_key(key) for key in text.split(","))


def _key(key: str) -> int:
    if len(key) == 1 and key.isascii():
        return ord(key)
    code = _CONTROL.get(key if key == "DEL" else key.lower())
    if code is None:
        raise InvalidInput(
            f"invalid detach keys: unknown key {key!r}",
            "keys are single characters or ctrl- with a-z, @, [, \\, ], ^ or _, with commas between: ctrl-p,ctrl-q",
        )
    return code


class DetachScanner:
    """Finds the sequence in what is typed, however it arrives; what may be its beginning is held back until that is clear."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the sequence was typed; nothing that follows it is passed on."""
        if not self._sequence:
            return typed, False
        typed = self._held + typed
        found = typed.find(self._sequence)
        if found >= 0:
            self._held = b""
            return typed[:found], True
        # The longest end of it that could still become the sequence.
        longest = min(len(self._sequence) - 1, len(typed))
        held = next((size for size in range(longest, 0, -1) if self._sequence.startswith(typed[-size:])), 0)
        passed = len(typed) - held
        self._held = typed[passed:]
        return typed[:passed], False

    def flush(self) -> bytes:
        """Return what is held back: no more is coming."""
        held, self._held = self._held, b""
        return held
