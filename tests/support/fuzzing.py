"""Short fuzzing in the tests, long in contrib/stress/fuzz_network: the same functions, again and again.

RL_FUZZ_SECONDS is how much processor time each function takes at least.
"""

import gc
import os
import time
from collections.abc import Callable

_MOST_GROWTH = 64 << 20  # bytes


def fuzz(run: Callable[[], object]) -> None:
    """Call `run` until the time is spent, and see that neither memory nor descriptors become more and more."""
    seconds = float(os.environ.get("RL_FUZZ_SECONDS", "0"))
    began = time.process_time()
    run()
    before, open_before = _resident(), _descriptors()
    rounds = 1
    while time.process_time() - began < seconds:
        run()
        rounds += 1
    if seconds:
        print(f"{rounds} rounds, {(_resident() - before) >> 10} KiB more than after the first")
    assert _resident() - before < _MOST_GROWTH
    assert _descriptors() <= open_before


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
