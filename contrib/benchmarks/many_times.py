"""The measurements of contrib/benchmarks/many: many detached containers at the same time, with their default networks.

Exit status 1 says that a goal was missed.
"""

import argparse
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, compare, options_of, parser_of, table
from _memory import memory_of
from _peers import IMAGE, Bench, Engine

_MIB = 1 << 20
_MEMORY_GOAL = 22 * _MIB  # for each container, all its processes (PSS)
_LIST_GOAL = 1.3


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    with Bench(options.user, options.environment) as bench:
        engines = (bench.rl, bench.podman)
        starts = [_seconds(functools.partial(_start, engine, options.containers)) for engine in engines]
        for engine in engines:
            running = len(engine("ps", "-q").split())
            if running != options.containers:
                raise RuntimeError(f"{engine.name}: {running} of {options.containers} containers run")
        lists = compare("ps", lambda: bench.rl("ps"), lambda: bench.podman("ps"), runs=options.runs, goal=_LIST_GOAL)
        met = lists.ratio <= _LIST_GOAL
        if os.getuid() == 0:
            met = _report_memory(engines, options.containers) and met
        stops = [_seconds(functools.partial(engine, "stop", "-a", "-t", "1")) for engine in engines]
    print(f"\nps beside {options.containers} containers that run: medians of {options.runs} paired runs\n")
    print(table([COLUMNS, lists.row()]))
    print(f"\n{options.containers} containers, once, in seconds\n")
    rows = [
        (what, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
        for what, (ours, theirs) in (("start one after the other", starts), ("stop -a -t 1", stops))
    ]
    print(table([("", "rl", "podman", "ratio"), *rows]))
    return 0 if met else 1


def _arguments() -> argparse.Namespace:
    parser = parser_of("many", __doc__, 15)
    parser.add_argument("--containers", type=int, default=100, help="containers of each engine (default: %(default)s)")
    return options_of(parser)


def _start(engine: Engine, count: int) -> None:
    for _number in range(count):
        engine("run", "-d", IMAGE, "sleep", "1000")


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _report_memory(engines: tuple[Engine, ...], count: int) -> bool:
    print("\nmemory (PSS) of all processes, for each container\n")
    sizes = [sum(size for _name, size in memory_of(engine.folder)) / count for engine in engines]
    met = sizes[0] <= _MEMORY_GOAL
    verdict = f"goal {_MEMORY_GOAL // _MIB}: {'met' if met else 'SHORT'}"
    print(f"rl: {sizes[0] / _MIB:.1f} MiB ({verdict}), podman: {sizes[1] / _MIB:.1f} MiB")
    return met


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"contrib/benchmarks/many: {error}")
