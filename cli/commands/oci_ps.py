"""`rl oci ps`: the processes of a container."""

import json
import os

import click

from cli.oci_verb import OciVerb, Settings
from rootless.runtime.oci import operations


@click.command(cls=OciVerb, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-f", "--format", "output_format", type=click.Choice(["table", "json"]), default="table", help="How to print them.")
@click.argument("container_id", metavar="ID")
@click.argument("ps_options", nargs=-1, type=click.UNPROCESSED)
def command(settings: Settings, container_id: str, ps_options: tuple[str, ...], output_format: str) -> None:
    """List the processes of the container ID: their PIDs as json, or what ps(1) says of them."""
    pids = [process.pid for process in operations.processes(settings.folder(container_id).read())]
    if output_format == "json":
        print(json.dumps(pids))  # noqa: T201
        return
    wanted = {str(pid) for pid in pids}
    output = _run_ps(ps_options or ("-ef",)).splitlines()
    titles = output[0].split()
    print(output[0])  # noqa: T201
    column = titles.index("PID")
    for line in output[1:]:
        if line.split()[column] in wanted:
            print(line)  # noqa: T201


def _run_ps(options: tuple[str, ...]) -> str:
    import subprocess

    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(["ps", *options], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
