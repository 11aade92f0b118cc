"""The passphrase of a private key: COSIGN_PASSWORD, as for cosign, or else asked for on the terminal."""

import getpass
import os
import sys

from rootless.errors import InvalidInput

_VARIABLE = "COSIGN_PASSWORD"


def passphrase_for(name: str, pem: bytes) -> bytes | None:
    """Return the passphrase of the key called `name`, or None for one that is not encrypted."""
    if b"ENCRYPTED" not in pem:
        return None
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return os.fsencode(given)
    return _ask(f"Passphrase of {name}: ")


def new_passphrase() -> bytes | None:
    """Return the passphrase for a new key, asked for twice; None for an empty one."""
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return os.fsencode(given) or None
    first = _ask("Passphrase of the new private key (empty for none): ")
    if first and first != _ask("Again: "):
        raise InvalidInput("the two passphrases differ", "nothing was written; try again")
    return first or None


def _ask(prompt: str) -> bytes:
    if not sys.stdin.isatty():
        raise InvalidInput("a passphrase is needed, and there is no terminal to ask on", f"set {_VARIABLE}")
    return os.fsencode(getpass.getpass(prompt))
