"""`rl top`: the processes of a container."""

import os
import subprocess

import click

from cli.tables import emit, for_output, table
from cli.verb import Verb
from rootless.containers.processes import process_ids
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NodeLacks
from rootless.locations import from_environment, make_private_folder

_DEFAULT = ("-ef",)


@click.command(cls=Verb, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("container", metavar="CONTAINER")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[PS OPTIONS]")
def command(*, container: str, options: tuple[str, ...]) -> None:
    """Show the processes of a running container, as the node's ps does with PS OPTIONS (-ef by default)."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    found = process_ids(locations, ContainerStore(locations).find(container))
    lines = _ps(options or _DEFAULT, found)
    header = lines[0].split()
    if "PID" not in header:
        raise InvalidInput("the ps options leave out the column PID", "add it, for example: -o pid,user,args")
    column = header.index("PID")
    # The last column is the command, with its blanks.
    rows = [line.split(None, len(header) - 1) for line in lines[1:]]
    own = [row for row in rows if len(row) > column and row[column] in {str(pid) for pid in found}]
    emit(for_output(table([header, *(row + [""] * (len(header) - len(row)) for row in own)])))


def _ps(options: tuple[str, ...], pids: list[int]) -> list[str]:
    """Return the lines of ps; as in Docker it is asked for these processes, and where OPTIONS do not go with that, for all."""
    done = _run_ps([*options, "-q", ",".join(map(str, pids))])
    if done.returncode:
        done = _run_ps(list(options))
    if done.returncode or not done.stdout:
        raise InvalidInput(f"ps: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else 'no output'}", "see man ps")
    return done.stdout.splitlines()


def _run_ps(options: list[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["ps", *options], capture_output=True, text=True, errors="backslashreplace", check=False)
    except FileNotFoundError:
        raise NodeLacks("cannot list processes: there is no ps on this node", "install it: apt-get install procps") from None
