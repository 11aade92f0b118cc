"""`rl system check`: verify images, layers and what containers need of them, and repair."""

import os

import click

from cli.sizes import human_size
from cli.tables import emit, for_output
from cli.verb import GoFlags
from rootless.containers import documents
from rootless.containers.store import layer_keys_of
from rootless.errors import RlError
from rootless.images.check import Holder, Problem, Report, check
from rootless.locations import Locations, from_environment, make_private_folder

_WRONG = 1


@click.command(cls=GoFlags)
@click.option("--repair", is_flag=True, help="Remove what is broken, and unpack layers again.")
@click.option("-q", "--quick", is_flag=True, help="Compare sizes and attributes only; read no contents.")
def command(*, repair: bool, quick: bool) -> int:
    """Verify every blob's digest, every reference and every unpacked layer; exit with 1 where something stays wrong."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    holders, damaged = _containers(locations)

    def containers() -> list[Holder]:
        holders[:] = _containers(locations)[0]
        return holders

    report = check(locations, containers, quick=quick)
    left = len(damaged) + len(report.problems)
    for text in damaged:
        _show(text)
    if repair:
        from rootless.images.check_repair import repair as repair_all  # not needed to look

        done = repair_all(locations, report.problems, containers)
        left -= sum(one.is_right for one in done)
        for one in done:
            _show(f"{_line(one.problem)}\n  -> {one.text}")
    else:
        for problem in report.problems:
            _show(_line(problem))
    for note in report.notes:
        _show(f"note: {note}")
    _show(_summary(report, len(holders), len(damaged) + len(report.problems), left, repair=repair))
    return _WRONG if left else 0


def _containers(locations: Locations) -> tuple[list[Holder], list[str]]:
    """Return the containers' need of layers, and what is wrong with records that cannot be read."""
    holders: list[Holder] = []
    damaged: list[str] = []
    names = os.listdir(locations.containers) if os.path.isdir(locations.containers) else []
    for container_id in sorted(names):
        try:
            document = documents.read(f"{locations.containers}/{container_id}")
            name, keys = document["Name"].lstrip("/"), tuple(layer_keys_of(document))
            holders.append(Holder(name, keys, is_running=document["State"]["Running"]))
        except (FileNotFoundError, NotADirectoryError):  # removed just now, or just being made
            continue
        except (RlError, KeyError, TypeError) as error:
            text = error.message if isinstance(error, RlError) else f"its record lacks {error}"
            damaged.append(f"container {container_id[:12]}: {text}")
    return holders, damaged


def _line(problem: Problem) -> str:
    needed = f" (needed by {', '.join(problem.users)})" if problem.users else ""
    return f"{problem.kind} {problem.name}: {problem.text}{needed}"


def _summary(report: Report, containers: int, found: int, left: int, *, repair: bool) -> str:
    looked_at = (
        f"{report.images} images, {report.blobs} blobs ({human_size(report.blob_bytes)}), "
        f"{report.layers} layers ({report.files} files), {containers} containers"
    )
    if not found:
        return f"{looked_at}: no problems"
    outcome = f"{found - left} repaired, {left} left" if repair else "see `rl system check --repair`"
    return f"{looked_at}: {found} problems; {outcome}"


def _show(text: str) -> None:
    emit(for_output(text))
