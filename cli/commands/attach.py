"""`rl attach`: connect the terminal with a running container."""

import os

import click

from cli.session import SIG_PROXY, attach_to, check_detach_keys
from cli.several import report
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.lifecycle import Running
from rootless.containers.store import ContainerStore
from rootless.errors import RlError
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("--detach-keys", metavar="KEYS", help="The keys that detach (default: ctrl-p,ctrl-q).")
@SIG_PROXY
@click.option("--no-stdin", is_flag=True, help="Do not send standard input.")
@click.argument("container")
def command(*, container: str, detach_keys: str | None, no_stdin: bool, sig_proxy: bool) -> int:
    """Show what CONTAINER writes from now on, and send it what is typed; its exit status is this command's."""
    check_detach_keys(detach_keys)
    locations = from_environment(os.environ, os.geteuid())
    try:
        document = ContainerStore(locations).find(container)
        sock = lifecycle.attach(locations, document)
    except RlError as error:
        return report(error)
    monitor = document["Rl"]["Monitor"]
    assert monitor is not None  # else `lifecycle.attach` had refused
    config = document["Config"]
    return attach_to(
        Running(sock, monitor[0]),
        document,
        detach_keys,
        terminal=bool(config["Tty"]),
        interactive=bool(config["OpenStdin"]) and not no_stdin,
        forwards=sig_proxy,
    )
