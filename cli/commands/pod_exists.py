"""`rl pod exists`: tell whether there is a pod."""

import os

import click

from cli.verb import Verb
from rootless.containers import pod_members
from rootless.errors import NoSuchObject
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.argument("pod")
def command(*, pod: str) -> int:
    """Exit with 0 where POD exists, with 1 where not."""
    try:
        pod_members.find(from_environment(os.environ, os.geteuid()), pod)
    except NoSuchObject:
        return 1
    return 0
