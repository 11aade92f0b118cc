"""`rl run`: make a container from an image and start it."""

import os

import click

from cli import image_for_container
from cli.create_options import CONTEXT, takes_create_options, to_create_options
from cli.invocation import current_standby
from cli.session import (
    SIG_PROXY,
    attach_to,
    check_detach_keys,
    console_size_of_stdin,
    detached_start,
    require_terminal,
    warn_about_maps,
)
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.create import create
from rootless.containers.documents import Document
from rootless.containers.lifecycle import Running
from rootless.containers.options import CreateOptions
from rootless.containers.pod_options import in_pod
from rootless.errors import InvalidInput
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags, context_settings=CONTEXT)
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the container's ID.")
@click.option("--detach-keys", metavar="KEYS", help="The keys that detach (default: ctrl-p,ctrl-q).")
@SIG_PROXY
@takes_create_options
def command(
    *, image: str, command: tuple[str, ...], detach: bool, detach_keys: str | None, sig_proxy: bool, **options: object
) -> int:
    """Make a container from IMAGE, start COMMAND in it, and show what it writes."""
    locations = from_environment(os.environ, os.geteuid())
    wanted = to_create_options(command, options)._replace(attach=not detach)
    require_terminal(tty=wanted.terminal, interactive=wanted.interactive, detached=detach)
    check_detach_keys(detach_keys)
    if detach and wanted.attached:
        raise InvalidInput("conflicting options: cannot specify both --attach and --detach", "leave one of them out")
    lifecycle.refuse_terminal(wanted.log_driver or "")
    make_private_folder(locations.runtime_dir)
    warn_about_maps()
    found, image_name = image_for_container.find(locations, image, wanted)
    console_size = console_size_of_stdin() if wanted.terminal else None
    document: Document | None = None
    try:
        with lifecycle.signals_held():
            document, lock = create(locations, os.environ, found, image_name, in_pod(locations, wanted))
            running = lifecycle.begin(locations, document, lock, console_size, current_standby())
            if not detach:
                return _attach(running, document, wanted, detach_keys, forwards=sig_proxy)
        detached_start(running)
    except KeyboardInterrupt:
        if detach and document is not None:
            print(document["Id"])  # noqa: T201 - it goes on: say which it is
        raise
    print(document["Id"])  # noqa: T201
    return 0


def _attach(running: Running, document: Document, wanted: CreateOptions, detach_keys: str | None, *, forwards: bool) -> int:
    if wanted.attached and not {"stdout", "stderr"} & set(wanted.attached):
        print(document["Id"], flush=True)  # noqa: T201 - as Docker, where nothing else is shown
    return attach_to(
        running,
        document,
        detach_keys,
        terminal=wanted.terminal,
        interactive=wanted.interactive,
        forwards=forwards,
        attached=wanted.attached,
    )
