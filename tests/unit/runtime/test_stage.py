"""The outer stage: it lingers for as long as who started it lives, and no longer."""

import os

from rootless.runtime import stage


def test_an_outer_stage_whose_starter_was_killed_before_it_looked_ends() -> None:
    """By then its parent is another process, which it must not take for its starter."""
    pid = os.fork()
    if pid == 0:
        stage._linger(os.getpid())  # anybody but our parent
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
