"""`rl start`: start containers again, with their files as they were."""

import os

import click

from cli.choosing import Chosen, choose
from cli.session import SIG_PROXY, attach_to, check_detach_keys, console_size_of_stdin, detached_start
from cli.several import for_each, report
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.documents import INITIALIZED, NEVER, Document
from rootless.containers.lifecycle import Running
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, RlError
from rootless.locations import Locations, from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-a", "--attach", is_flag=True, help="Show what the container writes, and forward signals.")
@click.option("-i", "--interactive", is_flag=True, help="Send standard input to the container, too.")
@click.option("--all", "take_all", is_flag=True, help="Start all containers that do not run.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Start those that match, as of rl ps.")
@click.option("--detach-keys", metavar="KEYS", help="The keys that detach (default: ctrl-p,ctrl-q).")
@SIG_PROXY
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(
    *,
    containers: tuple[str, ...],
    take_all: bool,
    filters: tuple[str, ...],
    attach: bool,
    interactive: bool,
    detach_keys: str | None,
    sig_proxy: bool,
) -> int:
    """Start containers that were created or have ended.

    After a reboot, a user's unit calls `rl start --all --filter restart-policy=always`, or unless-stopped: as Docker's daemon does
    when it starts, that leaves out containers that never ran, and of the latter those that the user had stopped.
    """
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    check_detach_keys(detach_keys)
    wants = _was_meant_to_run if any(text.startswith("restart-policy=") for text in filters) else _is_any
    containers = tuple(choose(locations, containers, Chosen(take_all, filters, running=False, also=wants)))
    if attach or interactive:
        if len(containers) != 1:
            raise InvalidInput("you cannot start and attach multiple containers at once", "start them without -a and -i")
        try:
            return _start_attached(locations, containers[0], detach_keys, interactive=interactive, forwards=sig_proxy)
        except RlError as error:
            return report(error)
    return for_each(containers, lambda name: _start(locations, name))


def _is_any(_document: Document) -> bool:
    return True


def _was_meant_to_run(document: Document) -> bool:
    """Tell whether a container with a restart policy ran, and was not stopped by the user where that counts."""
    policy = document["HostConfig"]["RestartPolicy"]["Name"]
    stopped = policy == "unless-stopped" and document["Rl"].get("StoppedByUser", False)
    return document["State"]["StartedAt"] != NEVER and not stopped


def _start(locations: Locations, name: str) -> str:
    """Start in the background; one that runs already is refused."""
    document = ContainerStore(locations).find(name)
    if document["State"]["Status"] == INITIALIZED:
        lifecycle.let_go(locations, document)
        return name
    _document, running = lifecycle.begin_existing(locations, name)
    detached_start(running)
    return name


def _start_attached(locations: Locations, name: str, detach_keys: str | None, *, interactive: bool, forwards: bool) -> int:
    """Start and attach, or only attach to one that runs, as Docker; returns the container's exit status."""
    document = ContainerStore(locations).find(name)
    monitor = document["Rl"]["Monitor"]
    terminal = bool(document["Config"]["Tty"])
    sends = interactive and bool(document["Config"]["OpenStdin"])
    with lifecycle.signals_held():
        if document["State"]["Running"] and monitor is not None:
            running = Running(lifecycle.attach(locations, document), monitor[0])
        else:
            document, running = lifecycle.begin_existing(locations, name, console_size_of_stdin() if terminal else None)
        begins = document["State"]["Status"] == INITIALIZED
        return attach_to(
            running, document, detach_keys, terminal=terminal, interactive=sends, begins=begins, forwards=forwards
        )
