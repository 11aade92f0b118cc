"""The end of a session with the kernel."""

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("pyfuse3")

from fuse_overlay import session


def test_a_connection_that_is_aborted_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process that mounts is killed: no traceback in the container's engine.log."""

    def send(_value: None) -> None:
        raise ConnectionAbortedError

    monkeypatch.setattr(session, "pyfuse3", SimpleNamespace(main=lambda **_options: SimpleNamespace(send=send)))
    fuse, control = os.pipe()
    try:
        session.serve(fuse, control, lambda: None, lambda: None)
    finally:
        os.close(fuse)
        os.close(control)
