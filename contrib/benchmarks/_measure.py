"""Paired measurements: the two sides take turns, so that the machine's noise falls on both."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


def parser_of(name: str, description: str | None, runs: int) -> argparse.ArgumentParser:
    """Return the parser of a benchmark's options, those that all of them have; its script sets the user and the environment."""
    parser = argparse.ArgumentParser(prog=f"contrib/benchmarks/{name}", description=description)
    parser.add_argument("--runs", type=int, default=runs, help="paired runs of each measurement (default: %(default)s)")
    parser.add_argument("--user", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--environment", required=True, help=argparse.SUPPRESS)
    return parser


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line."""
    options = parser.parse_args()
    if options.runs < 2:
        parser.error("quartiles need --runs 2 or more")
    return options


class Comparison(NamedTuple):
    """Seconds of each run, ours and theirs, and the ratio of the medians that is the goal."""

    what: str
    ours: list[float]
    theirs: list[float]
    goal: float

    @property
    def ratio(self) -> float:
        """The median of ours divided by the median of theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def row(self) -> tuple[str, ...]:
        """Return the comparison as a row of the table."""
        pairs = statistics.quantiles([a / b for a, b in zip(self.ours, self.theirs, strict=True)], n=4)
        return (
            self.what,
            f"{statistics.median(self.ours) * 1e3:.0f} ms",
            f"{statistics.median(self.theirs) * 1e3:.0f} ms",
            f"{self.ratio:.2f}",
            f"{pairs[0]:.2f}-{pairs[2]:.2f}",
            f"{self.goal:.2f}",
            "met" if self.ratio <= self.goal else "SHORT",
        )


COLUMNS = ("", "rl", "peer", "ratio", "half of pairs", "goal", "")


def compare(
    what: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    runs: int,
    goal: float,
    prepare: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run both in turns, `runs` times after one of each that does not count; who goes first alternates.

    `prepare` is called before every run, and not measured.
    """
    times: tuple[list[float], list[float]] = ([], [])
    sides = (ours, theirs)
    for run in range(-1, runs):
        for side in (0, 1) if run % 2 else (1, 0):
            prepare()
            begin = time.perf_counter()
            sides[side]()
            if run >= 0:
                times[side].append(time.perf_counter() - begin)
    return Comparison(what, times[0], times[1], goal)


def table(rows: list[tuple[str, ...]]) -> str:
    """Lay rows out in columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
