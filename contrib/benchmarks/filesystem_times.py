"""The measurements of contrib/benchmarks/filesystem: the same work in containers on four file systems, in turns.

    native   our container, with volumes for what is measured
    overlay  our container on the kernel's overlay
    fuse     our container on fuse_overlay, which is compared with
    peer     podman's on fuse-overlayfs

Each run is a container of its own; for root the node's caches are dropped before. Requests are counted in one more run each, by
strace: what was read from /dev/fuse. Exit status 1 says that a goal was missed.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _file_work import WORKS, Work, write_image
from _measure import options_of, parser_of, table
from _memory import processes_of
from _peers import Bench, Engine

_IMAGE = "localhost/file-work:latest"
_GOAL, _GOAL_WARM = 1.0, 0.5
_COLUMNS = ("", "native", "overlay", "fuse", "peer", "fuse:peer", "goal", "", "requests", "peer's")


class Side(NamedTuple):
    """Where the work is done."""

    engine: Engine
    options: tuple[str, ...] = ()


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = parser_of("filesystem", __doc__, 5)
    parser.add_argument("--no-requests", action="store_true", help="do not count requests: strace takes its time")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows whose name has this in it")
    options = options_of(parser)
    works = [work for work in WORKS if not options.rows or any(row in work.name for row in options.rows)]
    missed = False
    with Bench(options.user, options.environment) as bench:
        sides = _sides(bench)
        rows = [_COLUMNS]
        for work in works:
            times = _measure(sides, work, options.runs)
            ratio, goal = times[2] / times[3], _GOAL_WARM if work.warm else _GOAL
            missed = missed or ratio > goal
            counts = os.getuid() == 0 and not options.no_requests
            requests = [_count(side, work) if counts else "-" for side in sides[2:]]
            verdict = "met" if ratio <= goal else "SHORT"
            rows.append((work.name, *(f"{value:.0f} ms" for value in times), f"{ratio:.2f}", f"{goal:.1f}", verdict, *requests))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    print(f"\nmedians of {options.runs} runs each, in turns\n")
    print(table(rows))
    return 1 if missed else 0


def _sides(bench: Bench) -> tuple[Side, ...]:
    path = f"{bench.folder}/image.tar"
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        write_image(path, scratch)
        os.chmod(path, 0o644)
        for engine in (bench.rl, bench.rl_fuse, bench.podman_fuse):
            engine("import", path, _IMAGE)
    os.unlink(path)
    return (Side(bench.rl, ("-v", "data:/data", "-v", "/scratch")), Side(bench.rl), Side(bench.rl_fuse), Side(bench.podman_fuse))


def _measure(sides: tuple[Side, ...], work: Work, runs: int) -> list[float]:
    """Return the median of each side, in milliseconds."""
    times: list[list[float]] = [[] for _side in sides]
    for run in range(runs):
        for number in range(len(sides)):
            index = (number + run) % len(sides)
            times[index].append(_once(sides[index], work))
    return [statistics.median(values) for values in times]


def _script(work: Work) -> str:
    return f"set -e; {work.prepare}\nbegin=$(date +%s%N); {work.script}\nend=$(date +%s%N); echo $((end - begin))"


def _arguments(side: Side, *more: str) -> tuple[str, ...]:
    # Kept until the end: ext4 takes no inode again that was deleted within the last minute, and looks long for others.
    return ("run", "--network", "none", "-v", "/usr:/usr:ro", *side.options, *more, _IMAGE, "sh", "-c")


def _once(side: Side, work: Work) -> float:
    _drop_caches()
    return int(side.engine(*_arguments(side), _script(work)).split()[-1]) / 1e6


def _drop_caches() -> None:
    if os.getuid() == 0:
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")


def _count(side: Side, work: Work) -> str:
    """Return how many requests the server of a container answers during the work, which waits until strace is there."""
    waiting = f"{work.prepare}\necho ready; read go; {work.script}\necho done; read stop"
    process = side.engine.popen(*_arguments(side, "-i"), waiting, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    server = _server_of(side.engine)
    with tempfile.NamedTemporaryFile("r") as trace:
        calls = "trace=read,readv,splice"
        command = ["strace", "-f", "-qq", "-P", "/dev/fuse", "-e", calls, "-e", "signal=none", "-o", trace.name, "-p", str(server)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
            time.sleep(1)  # strace does not say when it is attached
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            tracer.terminate()
        process.communicate(b"\n")
        return str(len(re.findall(r"(?:readv?|splice)\(.*= [1-9]\d*$|resumed>.*= [1-9]\d*$", trace.read(), re.MULTILINE)))


def _server_of(engine: Engine) -> int:
    """Return the PID of the server of the one container that runs."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in processes_of(engine.folder):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except FileNotFoundError:
                continue
            if b"fuse_overlay" in words or words[0].endswith(b"fuse-overlayfs"):
                return pid
        time.sleep(0.05)
    raise RuntimeError(f"{engine.name}: no server of a FUSE file system")


if __name__ == "__main__":
    sys.exit(main())
