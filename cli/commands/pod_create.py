"""`rl pod create`: make a pod."""

import os
from collections.abc import Callable
from typing import Any, Final

import click

from cli.create_options import names
from cli.create_options.given import Given
from cli.key_values import parse_labels
from cli.tables import emit
from cli.verb import Verb
from rootless.containers import pod_members
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput
from rootless.locations import from_environment, make_private_folder

_SHARED: Final = ("ipc", "net", "uts")


def _names(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(names.OPTIONS):
        function = option(function)
    return function


@click.command(cls=Verb)
@click.option("-n", "--name", "named", metavar="NAME", help="The pod's name.")
@click.option("-l", "--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Give it a label.")
@click.option("--share", default="ipc,net,uts", metavar="KINDS", show_default=True, help="What its containers share.")
@click.option("--hostname", metavar="NAME", help="The pod's host name.")
@click.option("--network", metavar="MODE", help="none, host or slirp, as of rl run.")
@_names
@click.argument("name", required=False)
def command(
    *,
    name: str | None,
    named: str | None,
    labels: tuple[str, ...],
    share: str,
    hostname: str | None,
    network: str | None,
    **values: object,
) -> None:
    """Make a pod and print its ID; `rl run --pod NAME` puts containers into it."""
    if name and named and name != named:
        raise InvalidInput(f"two names for the pod: {named} and {name}", "leave out --name")
    shared = [] if share in ("", "none") else share.split(",")
    for kind in shared:
        if kind not in _SHARED:
            raise InvalidInput(f"containers of a pod cannot share {kind!r}", f"choose among {', '.join(_SHARED)}")
    options = CreateOptions(name=name or named, hostname=hostname, network=network or "slirp")
    options = names.apply(options, Given(values))
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    emit(pod_members.make(locations, options, shared, parse_labels(labels))["Id"])
