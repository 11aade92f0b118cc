"""Waiting for a process that is closed until it executes its command."""

import os

import pytest

from rootless.linux import namespaces


def test_it_is_looked_at_again_while_it_is_closed() -> None:
    answers = [PermissionError(), PermissionError(), None]

    def look() -> int:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return 7

    assert namespaces.patiently(os.getpid(), look) == 7


def test_one_that_stays_closed_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "_PATIENCE", 0.01)

    def look() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        namespaces.patiently(os.getpid(), look)


def test_one_that_has_ended_is_told_from_one_that_is_closed() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie

    def look() -> None:
        raise PermissionError

    try:
        with pytest.raises(ProcessLookupError):
            namespaces.patiently(pid, look)
    finally:
        os.waitpid(pid, 0)
