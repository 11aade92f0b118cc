"""The measurements of contrib/benchmarks/start, which sets up what they need.

Exit status 1 says that a goal was missed. Absolute times mean nothing on a shared machine; ratios of runs that take turns do.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _memory import memory_of
from _peers import IMAGE, Bench, Engine
from _starts import count_starts

_MIB = 1 << 20
_RUN = ("run", "--rm", IMAGE, "true")
_NAME = "idle"


def main() -> int:
    """Measure, print, and return the exit status."""
    options = options_of(parser_of("start", __doc__, 15))
    with Bench(options.user, options.environment) as bench:
        comparisons = []
        for comparison in _compared(bench, options.runs):
            comparisons.append(comparison)
            print(table([COLUMNS, comparison.row()]).splitlines()[1], file=sys.stderr, flush=True)
        print(f"\nmedians of {options.runs} paired runs\n")
        print(table([COLUMNS, *(comparison.row() for comparison in comparisons)]))
        met = all(comparison.ratio <= comparison.goal for comparison in comparisons)
        if os.getuid() == 0:
            met = _report_memory(bench) and met
            _report_starts(bench)
        else:
            print("\nmemory and process counts are left out: they need root")
    return 0 if met else 1


def _compared(bench: Bench, runs: int) -> Iterator[Comparison]:
    yield _commands("run --rm, default network", bench.rl, bench.podman, _RUN, runs=runs, goal=0.5)
    yield _commands("run --rm, fuse", bench.rl_fuse, bench.podman_fuse, _RUN, runs=runs, goal=0.8)
    with _Idle(bench.rl), _Idle(bench.podman):
        for what, arguments, goal in (
            ("exec", ("exec", _NAME, "true"), 0.6),
            ("ps", ("ps",), 1.3),
            ("logs", ("logs", _NAME), 1.3),
        ):
            yield _commands(what, bench.rl, bench.podman, arguments, runs=runs, goal=goal)


def _commands(what: str, ours: Engine, theirs: Engine, arguments: tuple[str, ...], *, runs: int, goal: float) -> Comparison:
    def command(engine: Engine) -> Callable[[], object]:
        return lambda: engine(*arguments)

    return compare(what, command(ours), command(theirs), runs=runs, goal=goal)


class _Idle:
    """A detached container that has logged a line and sleeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        self._engine("run", "-d", "--name", _NAME, IMAGE, "sh", "-c", "echo ready; exec sleep 1000")
        while "ready" not in self._engine("logs", _NAME):
            time.sleep(0.05)

    def __exit__(self, *_failure: object) -> None:
        self._engine("rm", "-f", _NAME)


def _report_memory(bench: Bench) -> bool:
    print("\nmemory (PSS) of an idle detached container, all its processes\n")
    met = True
    for engine, goal in ((bench.rl, 22), (bench.rl_fuse, 32), (bench.podman, None), (bench.podman_fuse, None)):
        with _Idle(engine):
            time.sleep(2)  # what starts in the background has settled
            processes = memory_of(engine.folder)
        total = sum(size for _name, size in processes) / _MIB
        parts = ", ".join(f"{name} {size / _MIB:.1f}" for name, size in processes)
        verdict = "" if goal is None else f" (goal {goal}: {'met' if total <= goal else 'SHORT'})"
        print(f"{engine.name}: {total:.1f} MiB{verdict}: {parts}")
        met = met and (goal is None or total <= goal)
    return met


def _report_starts(bench: Bench) -> None:
    print("\nprocesses that each took: programs executed, interpreters among them, forks\n")
    for engine in bench.engines:
        _report_starts_of(engine, "run --rm", *_RUN)
    for engine in (bench.rl, bench.podman):
        with _Idle(engine):
            _report_starts_of(engine, "exec", "exec", _NAME, "true")
            _report_starts_of(engine, "ps", "ps")


def _report_starts_of(engine: Engine, what: str, *arguments: str) -> None:
    starts = count_starts(engine, *arguments)
    programs = ", ".join(f"{count} {name}" if count > 1 else name for name, count in starts.programs.items())
    print(
        f"{engine.name} {what}: {starts.programs.total()} executed, {starts.interpreters} interpreters, "
        f"{starts.forks} forks ({programs})"
    )


if __name__ == "__main__":
    sys.exit(main())
