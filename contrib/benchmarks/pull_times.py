"""The measurements of contrib/benchmarks/pull, which sets up what they need.

Exit status 1 says that a goal was missed. Absolute times mean nothing on a shared machine; ratios of runs that take turns do.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _debian_image import TAG, layouts
from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _memory import processes_of
from _peers import Bench, Engine
from _registry import Registry

_MIB = 1 << 20
_GOAL = 1.0
_MEMORY_GOAL = 150 * _MIB
_VERBS = ("pull", "push", "save", "load")
_INSECURE = "--tls-verify=false"


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    with contextlib.ExitStack() as stack:
        bench = Bench(options.user, options.environment)
        stack.push(bench)  # its end only: the busybox image is not needed
        registry = stack.enter_context(Registry(bench.rl, "registry"))
        for compression, layout in layouts().items():
            target = f"docker://{registry.host}/debian:{compression}"
            _skopeo(bench)("copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:{TAG}", target)
        comparisons = []
        for comparison in _compared(bench, registry, options):
            comparisons.append(comparison)
            print(table([COLUMNS, comparison.row()]).splitlines()[1], file=sys.stderr, flush=True)
        print(f"\nmedians of {options.runs} paired runs; skopeo does not unpack, and has no goal\n")
        print(table([COLUMNS, *(_row(comparison) for comparison in comparisons)]))
        met = all(comparison.ratio <= comparison.goal for comparison in comparisons)
        return 0 if _report_memory(bench, registry) and met else 1


def _arguments() -> argparse.Namespace:
    parser = parser_of("pull", __doc__, 5)
    parser.add_argument("--only", choices=_VERBS, help="measure one verb")
    return options_of(parser)


def _compared(bench: Bench, registry: Registry, options: argparse.Namespace) -> Iterator[Comparison]:
    for compression in ("gzip", "zstd"):
        if options.only in {None, "pull"}:
            yield from _pulls(bench, f"{registry.host}/debian:{compression}", compression, options.runs)
    if options.only == "pull":
        return
    name = f"{registry.host}/debian:gzip"
    _forget(bench)
    bench.rl("pull", "-q", name)
    bench.podman("pull", "-q", _INSECURE, name)
    if options.only in {None, "push"}:
        with Registry(bench.rl, "target") as target:
            yield _push(bench, name, target, options.runs)
    if options.only in {None, "save", "load"}:
        yield from _archives(bench, name, options)


def _pulls(bench: Bench, name: str, compression: str, runs: int) -> Iterator[Comparison]:
    copy = f"{bench.rl.folder}/copy"

    def prepare() -> None:
        _forget(bench)
        subprocess.run(["rm", "-rf", copy], check=True)
        os.sync()

    def pull() -> None:
        bench.rl("pull", "-q", name)

    download = ("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{copy}")
    peers: dict[str, tuple[Callable[[], object], float]] = {
        "podman pull": (lambda: bench.podman("pull", "-q", _INSECURE, name), _GOAL),
        "skopeo copy": (lambda: _skopeo(bench)(*download), float("inf")),
    }
    for peer, (theirs, goal) in peers.items():
        yield compare(f"pull, {compression}, {peer}", pull, theirs, runs=runs, goal=goal, prepare=prepare)


def _push(bench: Bench, name: str, target: Registry, runs: int) -> Comparison:
    pushed = f"{target.host}/pushed:1"
    bench.rl("tag", name, pushed)

    def prepare() -> None:
        target.empty()
        os.sync()

    return compare(
        "push, podman push",
        lambda: bench.rl("push", "-q", pushed),
        lambda: bench.podman("push", "-q", _INSECURE, name, f"docker://{pushed}"),
        runs=runs,
        goal=_GOAL,
        prepare=prepare,
    )


def _archives(bench: Bench, name: str, options: argparse.Namespace) -> Iterator[Comparison]:
    saved = {"rl": f"{bench.rl.folder}/saved.tar", "podman": f"{bench.podman.folder}/saved.tar"}

    def remove() -> None:
        for path in saved.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        os.sync()

    def save(engine: Engine, key: str) -> Callable[[], object]:
        return lambda: engine("save", "-o", saved[key], name)

    def forget() -> None:
        _forget(bench)
        os.sync()

    ours, theirs = save(bench.rl, "rl"), save(bench.podman, "podman")
    if options.only in {None, "save"}:
        yield compare("save, podman save", ours, theirs, runs=options.runs, goal=_GOAL, prepare=remove)
    remove()
    theirs()
    os.chmod(saved["podman"], 0o644)
    if options.only in {None, "load"}:
        archive = saved["podman"]
        yield compare(
            "load, podman load",
            lambda: bench.rl("load", "-q", "-i", archive),
            lambda: bench.podman("load", "-q", "-i", archive),
            runs=options.runs,
            goal=_GOAL,
            prepare=forget,
        )


def _forget(bench: Bench) -> None:
    """Remove all images from both stores."""
    names = bench.rl("images", "-aq", "--no-trunc").split()
    if names:
        bench.rl("rmi", "-f", *dict.fromkeys(names))
    bench.podman("rmi", "-af")


def _skopeo(bench: Bench) -> Engine:
    return bench.rl._replace(name="skopeo", program="/usr/bin/skopeo")


def _row(comparison: Comparison) -> tuple[str, ...]:
    row = comparison.row()
    return row if comparison.goal != float("inf") else (*row[:5], "", "")


def _report_memory(bench: Bench, registry: Registry) -> bool:
    print("\npeak memory of a pull: RSS of all its processes together\n")
    met = True
    for compression in ("gzip", "zstd"):
        _forget(bench)
        peak = _peak_of(bench.rl, "pull", "-q", f"{registry.host}/debian:{compression}")
        met = met and peak <= _MEMORY_GOAL
        verdict = "met" if peak <= _MEMORY_GOAL else "SHORT"
        print(f"rl, {compression}: {peak / _MIB:.0f} MiB (goal {_MEMORY_GOAL // _MIB}: {verdict})")
    return met


def _peak_of(engine: Engine, *arguments: str) -> int:
    """Return the highest sum of the RSS (bytes) of a command and its descendants, looked at every 10 ms."""
    others = set(processes_of(engine.folder))
    ended = threading.Event()
    peaks = [0]

    def watch() -> None:
        while not ended.wait(0.01):
            peaks.append(sum(_rss(pid) for pid in set(processes_of(engine.folder)) - others))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        engine(*arguments)
    finally:
        ended.set()
        watcher.join()
    return max(peaks)


def _rss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return 0


if __name__ == "__main__":
    sys.exit(main())
