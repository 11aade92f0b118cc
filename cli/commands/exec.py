"""`rl exec`: run a command in a running container."""

import os

import click

from cli.session import attach_to, check_detach_keys, console_size_of_stdin, detached_start, require_terminal
from cli.verb import GoFlags
from rootless.containers import execute
from rootless.containers.environment import read_env_file, resolve_environment
from rootless.containers.execute import ExecOptions
from rootless.containers.lifecycle import signals_held
from rootless.containers.store import ContainerStore
from rootless.errors import CannotInvoke, InvalidInput, NodeLacks
from rootless.locations import from_environment

_FIRST_PRESERVED = 3  # sd_listen_fds(3) counts from there, too


@click.command(cls=GoFlags, context_settings={"allow_interspersed_args": False})
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Run the command in the background.")
@click.option("-e", "--env", "environment", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable.")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Read environment variables from a file.")
@click.option("-u", "--user", metavar="NAME|UID[:GROUP|GID]", help="The user inside the container.")
@click.option("-w", "--workdir", metavar="DIR", help="The working directory inside the container.")
@click.option("--privileged", is_flag=True, help="Give the command all capabilities, and no seccomp filter.")
@click.option("--preserve-fds", type=int, default=0, metavar="N", help="Pass file descriptors 3 to N+2 on.")
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
    privileged: bool,
    preserve_fds: int,
    detach_keys: str | None,
) -> int:
    """Run COMMAND in CONTAINER; its exit status is this command's."""
    preserved = _preserved(preserve_fds)  # first of all: what we open ourselves gets the next free numbers
    require_terminal(tty=tty, interactive=interactive, detached=detach)
    check_detach_keys(detach_keys)
    locations = from_environment(os.environ, os.geteuid())
    document = ContainerStore(locations).find(container)
    entries = [entry for path in env_files for entry in read_env_file(path, os.environ)]
    entries += resolve_environment(environment, os.environ)
    options = ExecOptions(
        command,
        interactive=interactive and not detach,
        terminal=tty,
        environment=tuple(entries),
        user=user,
        workdir=workdir,
        privileged=privileged,
        preserved=preserved,
    )
    try:
        with signals_held():
            running = execute.begin(locations, document, options, console_size_of_stdin() if tty else None)
            if not detach:
                # Signals are not forwarded, as in Docker: they end this command, and the one in the container goes on.
                return attach_to(running, None, detach_keys, terminal=tty, interactive=options.interactive)
        detached_start(running)
    except (InvalidInput, NodeLacks) as error:  # a user that is not known or not mapped: Docker exits with 126, unlike in `run`
        raise CannotInvoke(error.message, error.hint) from error
    return 0


def _preserved(count: int) -> tuple[int, ...]:
    """Return the descriptors of `--preserve-fds`. Raises `InvalidInput` where one is not open."""
    if count < 0:
        raise InvalidInput(f"invalid --preserve-fds: {count}", "give the number of descriptors, counted from 3 on")
    descriptors = tuple(range(_FIRST_PRESERVED, _FIRST_PRESERVED + count))
    for descriptor in descriptors:
        try:
            os.fstat(descriptor)
        except OSError:  # EBADF
            raise InvalidInput(
                f"file descriptor {descriptor} is not available",
                f"--preserve-fds {count} passes {_FIRST_PRESERVED} to {descriptors[-1]} on, which must be open",
            ) from None
    return descriptors
