"""What `run`, `start`, `exec` and `attach` share: the command's side of a started container."""

import os
from typing import Final

import click

from cli.complaints import complain
from rootless import errors, events
from rootless.containers.documents import PASSTHROUGH, Document, log_driver_of
from rootless.containers.lifecycle import Running, kill
from rootless.containers.requests import ask
from rootless.errors import InvalidInput
from rootless.locations import from_environment
from rootless.namespaces.idmap import default_maps

SIG_PROXY: Final = click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals to the container (default: true).")


class NoTerminal(InvalidInput):
    """-it without a terminal: Docker's status for it is 1, also of `run`."""

    exit_status = 1


def require_terminal(*, tty: bool, interactive: bool, detached: bool) -> None:
    """Raise `NoTerminal` where -it is asked for and standard input is no terminal, in Docker's words."""
    if tty and interactive and not detached and not os.isatty(0):
        raise NoTerminal("the input device is not a TTY", "leave out -t to feed a container from a pipe or file")


def check_detach_keys(text: str | None) -> None:
    """Raise `InvalidInput` for malformed detach keys, before anything is started."""
    if text is not None:
        from cli.detach_keys import parse  # with the option only

        parse(text)


def warn_about_maps() -> None:
    """Say so on standard error where the container cannot have the IDs that images expect."""
    warning = default_maps(os.geteuid(), os.getegid()).warning
    if warning is not None:
        complain(warning, kind="warning")


def console_size_of_stdin() -> tuple[int, int] | None:
    """Return rows and columns of the caller's terminal, or None where it has none."""
    try:
        size = os.get_terminal_size(0)
    except OSError:  # not a terminal: the container's starts with no size, as in Docker
        return None
    return size.lines, size.columns


def detached_start(running: Running) -> None:
    """Wait until a container runs. Raises the monitor's error when it does not come to that."""
    ask(running.sock, {"op": "start"})
    running.sock.close()


def attach_to(
    running: Running,
    document: Document | None,
    detach_keys: str | None,
    *,
    terminal: bool,
    interactive: bool,
    begins: bool = False,
    forwards: bool = True,
    attached: tuple[str, ...] = (),
) -> int:
    """Be attached to a container, or to a command in it, until the end or until the user detaches; returns the exit status.

    Signals are forwarded to the init of the container with that `document`, unless `forwards` says else; None: they mean this
    command. With `begins` a container that waits for its start begins once we are attached. Only the streams `attached` are, if any
    are named.
    """
    from cli.attachment import attach  # a detached start does without

    if document is not None:
        _tell(document, "attach")
    outcome = attach(
        running.sock,
        stdin=interactive
        and (not attached or "stdin" in attached)
        and (document is None or log_driver_of(document) != PASSTHROUGH),
        shown=attached or ("stdout", "stderr"),
        tty=terminal,
        begins=begins,
        detach_keys=detach_keys or "ctrl-p,ctrl-q",
        forward_signal=None if document is None or not forwards else lambda number: _forward(document, number),
    )
    if outcome.detached and document is not None:
        _tell(document, "detach")
    if outcome.detached:
        return 0
    if outcome.error:
        complain(outcome.error)
    return errors.ENGINE_ERROR if outcome.status is None else outcome.status


def _tell(document: Document, action: str) -> None:
    """Add to the log of events that a user is there, or is gone."""
    events.emit_container(from_environment(os.environ, os.geteuid()), document, action)


def _forward(document: Document, number: int) -> None:
    """Send a signal that the command got to the container's init."""
    from rootless.containers.store import ContainerStore
    from rootless.errors import InUse, NoSuchObject

    try:
        locations = from_environment(os.environ, os.geteuid())
        kill(locations, ContainerStore(locations).find(document["Id"]), number)
    except (InUse, NoSuchObject):
        return  # it has ended meanwhile; its status is on the way
