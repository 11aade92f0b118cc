"""A request to a monitor that ends without an answer."""

import pytest

from rootless.containers import requests
from rootless.errors import RlError
from rootless.linux.sockets import stream_pair


def test_a_monitor_that_is_killed_is_named_so() -> None:
    for unread in (b"", b"x"):  # a socket that is closed with something unread is reset
        ours, theirs = stream_pair()
        ours.send(unread)
        theirs.close()
        with pytest.raises(RlError, match="ended without an answer"):
            requests.ask(ours, {"op": "start"})
        ours.close()
