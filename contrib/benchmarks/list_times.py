"""The measurements of contrib/benchmarks/lists: `images` and `ps -a` of full stores.

Both engines load one archive with all the images, which share their layer, and make the same number of containers. Exit status 1
says that a goal was missed.
"""

import argparse
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, compare, options_of, parser_of, table
from _peers import IMAGE, Bench, Engine

_GOAL = 1.0
_GOAL_ALONE = 0.3  # seconds, where podman is too slow to wait for
_PATIENCE = 20  # seconds


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    results = []
    with Bench(options.user, options.environment) as bench:
        # Containers first: with many images podman needs seconds to create one.
        for _number in range(options.containers):
            bench.rl("run", "--network", "none", IMAGE, "true")
            bench.podman("create", "--network", "none", IMAGE, "true")
        results.append(_measure(f"ps -a, {options.containers} containers", bench, ("ps", "-a"), options.runs))
        archive = f"{bench.folder}/many.tar"
        with open(archive, "wb") as file:
            file.write(_archive(options.images))
        for engine in (bench.rl, bench.podman):
            engine("load", "-q", "-i", archive)
        results.append(_measure(f"images, {options.images} images", bench, ("images",), options.runs))
        results.append(_measure(f"ps -a beside {options.images} images", bench, ("ps", "-a"), options.runs))
        bench.podman("rm", "-af")
    print(f"\nmedians of {options.runs} paired runs; alone, where podman takes more than {_PATIENCE} s for one\n")
    print(table([COLUMNS, *(row for row, _met in results)]))
    return 0 if all(met for _row, met in results) else 1


def _arguments() -> argparse.Namespace:
    parser = parser_of("lists", __doc__, 15)
    parser.add_argument("--images", type=int, default=1000, help="images in the stores")
    parser.add_argument("--containers", type=int, default=200, help="containers in the stores")
    return options_of(parser)


def _measure(what: str, bench: Bench, arguments: tuple[str, ...], runs: int) -> tuple[tuple[str, ...], bool]:
    """Return a row of the table, and whether the goal was met."""
    if _is_slow(bench.podman, arguments):
        seconds = []
        for _run in range(runs):
            begin = time.perf_counter()
            bench.rl(*arguments)
            seconds.append(time.perf_counter() - begin)
        median = statistics.median(seconds)
        met = median <= _GOAL_ALONE
        row = (what, f"{median * 1e3:.0f} ms", f"> {_PATIENCE} s", "", "", f"{_GOAL_ALONE} s", "met" if met else "SHORT")
    else:
        comparison = compare(what, lambda: bench.rl(*arguments), lambda: bench.podman(*arguments), runs=runs, goal=_GOAL)
        row, met = comparison.row(), comparison.ratio <= comparison.goal
    print(table([COLUMNS, row]).splitlines()[1], file=sys.stderr, flush=True)
    return row, met


def _is_slow(engine: Engine, arguments: tuple[str, ...]) -> bool:
    """Tell whether one run takes more than a table of paired runs can wait for."""
    process = engine.popen(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def _archive(count: int) -> bytes:
    """Return a docker-archive of `count` images with one layer, each with a config of its own."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        layer = _layer()
        _add(tar, "layer.tar", layer)
        diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        entries = []
        for number in range(count):
            config = json.dumps(
                {
                    "architecture": "amd64",
                    "os": "linux",
                    "created": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
                    "config": {"Cmd": ["true"], "Labels": {"number": str(number)}},
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                }
            ).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add(tar, name, config)
            entries.append({"Config": name, "RepoTags": [f"localhost/many/image{number}:v1"], "Layers": ["layer.tar"]})
        _add(tar, "manifest.json", json.dumps(entries).encode())
    return stream.getvalue()


def _layer() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        _add(tar, "file", b"content")
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"contrib/benchmarks/lists: {error}")
