"""The measurements of contrib/benchmarks/id_maps: `run --rm --userns keep-id` of images with 100 and with 10,000 files.

Exit status 1 says that a goal was missed.
"""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, compare, options_of, parser_of, table
from _peers import IMAGE, Bench, Engine

_FEW, _MANY = 100, 10_000
_KEEP = ("--userns", "keep-id")


def main() -> int:
    """Measure, print, and return the exit status."""
    options = options_of(parser_of("id_maps", __doc__, 15))
    with Bench(options.user, options.environment) as bench:
        for count in (_FEW, _MANY):
            path = f"{bench.folder}/{count}.tar"
            _write_image(f"{bench.folder}/busybox.tar", path, count)
            for engine in (bench.rl, bench.podman):
                engine("import", path, _image(count))
        rl, podman = bench.rl, bench.podman
        comparisons = [
            compare("keep-id beside plain", _run(rl, IMAGE, _KEEP), _run(rl, IMAGE), runs=options.runs, goal=1.6),
            compare(
                f"{_MANY} files beside {_FEW}", _run(rl, _image(_MANY), _KEEP), _run(rl, _image(_FEW), _KEEP),
                runs=options.runs, goal=1.1,
            ),
            compare(
                f"podman's, {_FEW} files", _run(rl, _image(_FEW), _KEEP), _run(podman, _image(_FEW), _KEEP),
                runs=options.runs, goal=1.0,
            ),
            compare(
                f"podman's, {_MANY} files", _run(rl, _image(_MANY), _KEEP), _run(podman, _image(_MANY), _KEEP),
                runs=options.runs, goal=1.0,
            ),
        ]  # fmt: skip
    print(f"\nmedians of {options.runs} paired runs of run --rm --network none --userns keep-id\n")
    print(table([COLUMNS, *(comparison.row() for comparison in comparisons)]))
    return 0 if all(comparison.ratio <= comparison.goal for comparison in comparisons) else 1


def _image(count: int) -> str:
    return f"localhost/files-{count}:latest"


def _write_image(base: str, path: str, count: int) -> None:
    """Write a copy of an archive with so many small files more, a hundred a folder."""
    subprocess.run(["cp", base, path], check=True)
    with tarfile.open(path, "a") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"files/{number // 100}/{number}")
            member.size, member.uid, member.gid = 10, number % 100, number % 100
            archive.addfile(member, io.BytesIO(b"content\n\n\n"))
    os.chmod(path, 0o644)


def _run(engine: Engine, image: str, options: tuple[str, ...] = ()) -> Callable[[], object]:
    return lambda: engine("run", "--rm", "--network", "none", *options, image, "true")


if __name__ == "__main__":
    sys.exit(main())
