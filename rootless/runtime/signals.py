"""Names of signals as users give them."""

import signal

from rootless.errors import InvalidInput


def signal_number(text: str) -> int:
    """Return the number of a signal given as 15, TERM or SIGTERM. Raises `InvalidInput`."""
    if text.isdecimal() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if base == "RTMIN" and plus and offset.isdecimal() and signal.SIGRTMIN + int(offset) <= signal.SIGRTMAX:
        return signal.SIGRTMIN + int(offset)
    number = getattr(signal, f"SIG{name}", None)
    if not isinstance(number, signal.Signals):
        raise InvalidInput(f"invalid signal: {text}", "give a name such as TERM, or a number; kill -l lists them")
    return int(number)
