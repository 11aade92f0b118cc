"""The measurements of contrib/benchmarks/build, which sets up what they need.

Both engines build the same Dockerfile from the same context of 10,000 files, upon the same busybox, and keep each step's layer.
Exit status 1 says that a goal was missed. Absolute times mean nothing on a shared machine; ratios of runs that take turns do.
"""

import itertools
import os
import pwd
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _peers import IMAGE, Bench

_FOLDERS = 100
_FILES = 100  # in each
_DOCKERFILE = f"""FROM {IMAGE} AS made
RUN echo made > /made
FROM {IMAGE}
ENV A=1
RUN mkdir /new && echo $A > /new/file
COPY few /few
RUN ls /few > /list
COPY many /many
RUN ls /many > /list
COPY --from=made /made /made
WORKDIR /work
CMD ["cat", "/list"]
"""
_CACHED, _UNCACHED, _CHANGED = 0.5, 1.0, 0.7  # goals


def main() -> int:
    """Measure, print, and return the exit status."""
    options = options_of(parser_of("build", __doc__, 5))
    with Bench(options.user, options.environment) as bench:
        context = _make_context(bench.folder, options.user)
        buildah = bench.podman._replace(name="buildah", program="/usr/bin/buildah")
        numbers = itertools.count()

        def ours(*more: str) -> None:
            bench.rl("build", "-q", "--network", "none", "-t", "app", *more, context)

        def theirs(*more: str) -> None:
            buildah("build", "-q", "--layers", "--network", "none", "-t", "app", *more, context)

        def change() -> None:
            with open(f"{context}/many/7/7", "w") as file:
                file.write(f"changed {next(numbers)}\n")

        ours()
        theirs()
        rows: list[Comparison] = [
            compare("all steps cached", ours, theirs, runs=options.runs, goal=_CACHED),
            compare("one of 10,000 files changed", ours, theirs, runs=options.runs, goal=_CHANGED, prepare=change),
            compare(
                "no step cached",
                lambda: ours("--no-cache"),
                lambda: theirs("--no-cache"),
                runs=options.runs,
                goal=_UNCACHED,
            ),
        ]
        print(f"\nmedians of {options.runs} paired runs beside buildah with --layers\n")
        print(table([COLUMNS, *(row.row() for row in rows)]))
        return 0 if all(row.ratio <= row.goal for row in rows) else 1


def _make_context(parent: str, user: str) -> str:
    """Make the context, the user's, and return its path."""
    context = f"{parent}/context"
    account = pwd.getpwnam(user)
    for folder in ("few", *(f"many/{number}" for number in range(_FOLDERS))):
        os.makedirs(f"{context}/{folder}")
        for number in range(_FILES if folder != "few" else 10):
            with open(f"{context}/{folder}/{number}", "w") as file:
                file.write(f"{folder} {number}\n" * 100)
    with open(f"{context}/Dockerfile", "w") as file:
        file.write(_DOCKERFILE)
    for path, folders, files in os.walk(context):
        for name in (".", *folders, *files):
            os.chown(f"{path}/{name}", account.pw_uid, account.pw_gid)
    return context


if __name__ == "__main__":
    sys.exit(main())
