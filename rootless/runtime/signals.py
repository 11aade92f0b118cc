"""Names of signals as users give them."""

import signal

from rootless.errors import InvalidInput


def signal_number(text: str) -> int:
    """Return the number of a signal given as 15, TERM or SIGTERM. Raises `InvalidInput`."""
    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper()
    number = getattr(signal, name if name.startswith("SIG") else f"SIG{name}", None)
    if not isinstance(number, signal.Signals):
        raise InvalidInput(f"invalid signal: {text}", "give a name such as TERM, or a number; kill -l lists them")
    return int(number)
