"""Names of signals as users give them."""

import signal

import pytest

from rootless.errors import InvalidInput
from rootless.runtime.signals import signal_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("15", 15), ("TERM", 15), ("sigterm", 15), ("SIGRTMIN", signal.SIGRTMIN), ("RTMIN+3", signal.SIGRTMIN + 3), ("64", 64)],
)
def test_known(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "NOPE", "SIGSIGTERM", "_IGN", "RTMIN+31", "RTMIN+", "TERM+1", "RTMIN+x"])
def test_unknown(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid signal"):
        signal_number(text)
