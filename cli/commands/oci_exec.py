"""`rl oci exec`: run one more process in a running container."""

import os
from typing import Any

import click

from cli.oci_verb import OciVerb, Settings, seccomp_cache
from rootless.errors import InvalidInput
from rootless.runtime.oci import foreground
from rootless.runtime.oci.execute import ExecOptions, execute


@click.command(cls=OciVerb, context_settings={"allow_interspersed_args": False})
@click.option("-p", "--process", metavar="FILE", help="An OCI process in a file, in place of all that follows.")
@click.option("-t", "--tty", is_flag=True, help="Give the process a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait for its end.")
@click.option("--cwd", metavar="DIR", help="Its working directory.")
@click.option("-e", "--env", "environment", multiple=True, metavar="NAME=VALUE", help="Set an environment variable.")
@click.option("-u", "--user", metavar="UID[:GID]", help="Its user.")
@click.option("-g", "--additional-gids", type=int, multiple=True, metavar="GID", help="A further group.")
@click.option("-c", "--cap", "capabilities", multiple=True, metavar="NAME", help="Add a capability.")
@click.option("--no-new-privs", is_flag=True, help="Forbid it to gain privileges.")
@click.option("--console-socket", metavar="PATH", help="A socket that gets the master of its terminal.")
@click.option("--pid-file", metavar="FILE", help="Write its PID to a file.")
@click.option("--preserve-fds", type=click.IntRange(0), default=0, metavar="N", help="Pass N descriptors from 3 on.")
@click.argument("container_id", metavar="ID")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(settings: Settings, container_id: str, command: tuple[str, ...], **given: Any) -> int:
    """Run COMMAND in the running container ID, and exit with its status."""
    if bool(command) == bool(given["process"]):
        raise InvalidInput("exec needs a command or --process, one of them")
    options = ExecOptions(
        command,
        given["process"],
        given["tty"],
        given["cwd"],
        given["environment"],
        given["user"],
        given["additional_gids"],
        given["capabilities"],
        given["no_new_privs"],
        given["console_socket"],
        given["pid_file"],
        given["preserve_fds"],
        seccomp_cache(),
    )
    executed = execute(settings.folder(container_id), options, os.environ, settings.warn)
    return 0 if given["detach"] else foreground.watch(executed.pid, executed.master)
