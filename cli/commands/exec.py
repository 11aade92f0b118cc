"""`rl exec`: run a command in a running container."""

import os

import click

from cli.session import attach_to, console_size_of_stdin, detached_start, require_terminal
from rootless.containers import execute
from rootless.containers.environment import read_env_file, resolve_environment
from rootless.containers.execute import ExecOptions
from rootless.containers.store import ContainerStore
from rootless.locations import from_environment


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Run the command in the background.")
@click.option("-e", "--env", "environment", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable.")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Read environment variables from a file.")
@click.option("-u", "--user", metavar="NAME|UID[:GROUP|GID]", help="The user inside the container.")
@click.option("-w", "--workdir", metavar="DIR", help="The working directory inside the container.")
@click.option("--detach-keys", metavar="KEYS", help="The keys that detach (default: ctrl-p,ctrl-q).")
@click.argument("container")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def command(
    *,
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    detach: bool,
    environment: tuple[str, ...],
    env_files: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    detach_keys: str | None,
) -> int:
    """Run COMMAND in CONTAINER; its exit status is this command's."""
    require_terminal(tty=tty, interactive=interactive, detached=detach)
    locations = from_environment(os.environ, os.geteuid())
    document = ContainerStore(locations).find(container)
    entries = [entry for path in env_files for entry in read_env_file(path, os.environ)]
    entries += resolve_environment(environment, os.environ)
    options = ExecOptions(command, interactive and not detach, tty, tuple(entries), user, workdir)
    running = execute.begin(locations, document, options, console_size_of_stdin() if tty else None)
    if detach:
        detached_start(running)
        return 0
    return attach_to(running, document, detach_keys, terminal=tty, interactive=options.interactive)
