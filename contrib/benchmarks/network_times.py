"""The measurements of contrib/benchmarks/network: the same traffic through three stacks, each serving a namespace of its own.

The traffic goes between a program inside and one on the host's loopback, which both are there before anything is measured.
A row is the time for some work, ours divided by the peer's: 0.5 is twice as fast. Exit status 1 says that a goal was missed.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _networks import Host, Network, OfRl, Pasta, Slirp4netns
from _peers import IMAGE, Bench

_LARGE, _SMALL = 65520, 1500
_NO_GOAL = float("inf")
_PEERS: dict[str, type[Network]] = {"slirp4netns": Slirp4netns, "pasta": Pasta}


class Row(NamedTuple):
    """Some work at an MTU, and how much of the peers' time it may take."""

    name: str
    mtu: int
    work: str
    slirp4netns: float
    pasta: float


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    rows, met = [COLUMNS], True
    with ExitStack() as stack:
        bench = stack.enter_context(Bench(options.user, options.environment))
        for comparison in _compared(bench, stack, options):
            if isinstance(comparison, str):
                print(f"{comparison}; this is the peer's", file=sys.stderr, flush=True)
                continue
            met = met and comparison.ratio <= comparison.goal
            rows.append(comparison.row())
            print(table([COLUMNS, rows[-1]]).splitlines()[1], file=sys.stderr, flush=True)
    print(f"\nmedians of {options.runs} paired runs\n")
    print(table(rows))
    return 0 if met else 1


def _rows(mib: int) -> Iterator[Row]:
    for mtu, goal in ((_LARGE, 1 / 1.6), (_SMALL, 1 / 6)):
        for direction in ("out", "in"):
            for count in (1, 8):
                yield Row(f"TCP {direction}, MTU {mtu}, {count} at once", mtu, f"{direction} {mib << 20} {count}", goal, 1.0)
    yield Row("2000 TCP round trips", _LARGE, "round_trips 2000", 1.5, _NO_GOAL)
    yield Row("500 TCP connections", _LARGE, "connections 500", 1.5, _NO_GOAL)
    yield Row("10000 UDP datagrams", _LARGE, "datagrams 10000", _NO_GOAL, _NO_GOAL)


def _compared(bench: Bench, stack: ExitStack, options: argparse.Namespace) -> Iterator[Comparison | str]:
    """Yield each comparison that was asked for, or how a peer failed (pasta 2023 resets some of eight connections)."""
    networks: dict[tuple[type[Network], int], Network] = {}
    host = stack.enter_context(Host())

    def measured(kind: type[Network], row: Row) -> Callable[[], None]:
        if (kind, row.mtu) not in networks:
            networks[kind, row.mtu] = stack.enter_context(kind(bench, row.mtu))
        network = networks[kind, row.mtu]
        return lambda: host.work_with(network, row.work)

    for row in _rows(options.mib):
        for name, kind in _PEERS.items():
            what = f"{row.name}: {name}"
            if _is_asked_for(what, options.rows):
                goal = row.slirp4netns if kind is Slirp4netns else row.pasta
                try:
                    yield compare(what, measured(OfRl, row), measured(kind, row), runs=options.runs, goal=goal)
                except RuntimeError as error:
                    if str(error).startswith(OfRl.__name__):
                        raise
                    yield f"{what}: {error}"
    for what, arguments in (("first instruction", ("true",)), ("first packet answered", ("ping", "-c", "1", "10.0.2.2"))):
        what = f"{what}: podman with slirp4netns"  # noqa: PLW2901 - what is shown
        if _is_asked_for(what, options.rows):
            ours, theirs = (partial(engine, "run", "--rm", IMAGE, *arguments) for engine in (bench.rl, bench.podman))
            yield compare(what, ours, theirs, runs=options.runs, goal=0.5)


def _is_asked_for(what: str, rows: list[str]) -> bool:
    return not rows or any(row in what for row in rows)


def _arguments() -> argparse.Namespace:
    parser = parser_of("network", __doc__, 7)
    parser.add_argument("--mib", type=int, default=256, help="how much TCP carries in a run (default: %(default)s MiB)")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows whose name has this in it")
    return options_of(parser)


if __name__ == "__main__":
    sys.exit(main())
