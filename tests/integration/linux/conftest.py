"""Running a function in a forked, unprivileged child: filters and capability sets cannot be taken back."""

import os
import pickle
import pwd
import traceback
from collections.abc import Callable
from typing import Any

import pytest


def _become_unprivileged() -> None:
    if os.getuid() == 0:
        user = pwd.getpwnam(os.environ.get("RL_TEST_USER", "rltest"))
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def run_in_child(function: Callable[[], Any]) -> Any:
    """Return what `function` returns in a child, or "signal N" when it was killed; a child's exception fails the test."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            _become_unprivileged()
            with open(writing, "wb") as pipe:
                pickle.dump(function(), pipe)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    assert status == 0, "the child failed: see its traceback"
    return pickle.loads(answer)


@pytest.fixture
def in_child() -> Callable[[Callable[[], Any]], Any]:
    return run_in_child
