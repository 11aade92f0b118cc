"""The starter's side of the handshake with the stages."""

import os
import signal

import pytest

from rootless.errors import RlError
from rootless.linux.sockets import packet_pair
from rootless.runtime import channel
from rootless.runtime.launch import Watcher, _Progress

IGNORE = Watcher(lambda: None, lambda _descriptors: None, lambda _descriptors: None)


def ended_child() -> int:
    """Return the PID of a child that has ended and waits to be reaped, as a stage that has done its work."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return pid


@pytest.mark.parametrize("order", [("created", "ready"), ("ready", "created")])
def test_init_may_be_faster_than_the_stage_that_tells_of_it(order: tuple[str, str]) -> None:
    ours, theirs = packet_pair()
    init = os.fork()
    if init == 0:
        signal.pause()
    pidfd = os.pidfd_open(init)
    try:
        for event in order:
            if event == "ready":
                channel.send(theirs, "ready")
            else:
                channel.send(theirs, "created", [pidfd], init=init, stage=ended_child(), known={"env": ["HOME=/"]})
        created = _Progress(ours, ended_child()).follow(IGNORE, lambda _sync: None)
        assert created.init.pid == init
        assert created.known == {"env": ["HOME=/"]}
        os.close(created.pidfd)
    finally:
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
        os.close(pidfd)
        ours.close()
        theirs.close()


def test_an_end_before_ready_is_an_error() -> None:
    ours, theirs = packet_pair()
    theirs.close()
    stage = ended_child()
    with pytest.raises(RlError, match="ended before it was ready"):
        _Progress(ours, stage).follow(IGNORE, lambda _sync: None)
    ours.close()
    os.waitpid(stage, 0)
