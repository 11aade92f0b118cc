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
    monkeypatch.setattr(session, "Negotiation", lambda fuse: SimpleNamespace(answered=fuse))
    fuse, control = os.pipe()
    try:
        session.serve(fuse, control, lambda: None, lambda: None)
    finally:
        os.close(fuse)
        os.close(control)


class _Poll:
    """A poll(2) that has an event when asked for the time `ready`; `timeouts` is what it was called with."""

    def __init__(self, ready: int) -> None:
        self.ready = ready
        self.timeouts: list[int | None] = []

    def __call__(self, timeout: int | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return [(3, 1)] if timeout is None or len(self.timeouts) >= self.ready else []


def test_a_watch_sees_what_comes_at_once_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_AWAKE", 1 << 60)
    poll = _Poll(3)
    assert session.Watch(poll).wait() == [(3, 1)]
    assert poll.timeouts == [0, 0, 0]


def test_a_watch_that_is_in_vain_sleeps_and_soon_tries_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_AWAKE", 0)
    poll = _Poll(1 << 30)
    watch = session.Watch(poll)
    for _wait in range(2000):
        watch.wait()
    assert poll.timeouts.count(None) == 2000
    tries = [index for index, timeout in enumerate(poll.timeouts) if timeout == 0]
    assert 2000 / 256 <= len(tries) <= 2000 / 256 + 10
    poll.ready = 0
    while poll.timeouts[-1] is None:  # until it tries again: then it stays awake
        watch.wait()
    for _wait in range(10):
        watch.wait()
    assert poll.timeouts[-10:] == [0] * 10
