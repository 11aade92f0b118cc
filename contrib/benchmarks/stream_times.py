"""The measurements of contrib/benchmarks/streams: a file through the standard streams of `run -i … cat`, into a pipe.

Both engines keep what passes in a log, as they do by default, and then in none. Exit status 1 says that a goal was missed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _peers import IMAGE, Bench, Engine

_MIB = 1 << 20
_LINE = b"The quick brown fox jumps over the lazy dog, and the log keeps every line of it.\n"


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    comparisons: list[Comparison] = []
    with Bench(options.user, options.environment) as bench, tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        content = (_LINE * (options.mib * _MIB // len(_LINE) + 1))[: options.mib * _MIB]
        file.write(content)
        file.flush()
        for what, arguments in (("text, no log", ("--log-driver", "none")), ("text, default log", ())):
            ours, theirs = (_pass_through(engine, file.name, options.mib, arguments) for engine in (bench.rl, bench.podman))
            comparisons.append(compare(what, ours, theirs, runs=options.runs, goal=1.0))
    print(f"\n{options.mib} MiB, medians of {options.runs} paired runs\n")
    print(table([COLUMNS, *(comparison.row() for comparison in comparisons)]))
    return 0 if all(comparison.ratio <= comparison.goal for comparison in comparisons) else 1


def _pass_through(engine: Engine, path: str, mib: int, arguments: tuple[str, ...]) -> Callable[[], None]:
    def run() -> None:
        with open(path, "rb") as source:
            process = engine.popen("run", "--rm", "-i", "--network", "none", *arguments, IMAGE, "cat", stdin=source)
            assert process.stdout is not None
            received = 0
            while piece := process.stdout.read(_MIB):
                received += len(piece)
        if process.wait() != 0 or received != mib * _MIB:
            raise RuntimeError(f"{engine.name}: {received} bytes came back of {mib * _MIB}, status {process.returncode}")

    return run


def _arguments() -> argparse.Namespace:
    parser = parser_of("streams", __doc__, 5)
    parser.add_argument("--mib", type=int, default=1024, help="how much passes (default: %(default)s MiB)")
    return options_of(parser)


if __name__ == "__main__":
    sys.exit(main())
