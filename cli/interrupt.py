"""Ctrl-C while `rl` still loads its modules: it ends the process, as it ends one that is not Python, and prints no traceback.

Imported before all else. `signal` itself is Python, with an `enum` that takes 3 ms to load; this is the C module below it.
"""

import _signal  # type: ignore[import-not-found]  # typeshed leaves it out

# Not where the caller had it ignored: that must stay so.
_IS_OURS = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
if _IS_OURS:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def raise_from_now_on() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again: somebody is there to catch it."""
    if _IS_OURS:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
