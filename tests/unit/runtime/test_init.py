"""Init and its stage: an init that nobody was told of ends, or its starter would wait for ever."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from rootless.linux.sockets import packet_pair
from rootless.runtime import channel, init


@pytest.mark.parametrize(("told", "events"), [(init.TOLD, ["ready"]), (b"", [])])
def test_init_is_ready_only_when_its_starter_knows_it(monkeypatch: pytest.MonkeyPatch, told: bytes, events: list[str]) -> None:
    monkeypatch.setattr(init, "_set_up", lambda _plan, _sync: None)
    ours, theirs = packet_pair()
    reading, writing = os.pipe()
    plan: Any = SimpleNamespace(told=reading, listener=None, spec={}, reaper=False)
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(writing)
        init.run(plan, theirs)
    theirs.close()
    os.write(writing, told)
    os.close(writing)
    os.close(reading)
    first = channel.receive(ours).event
    ours.close()
    assert [first] == (events or [""])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
