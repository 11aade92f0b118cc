"""Options of the image that the container is made from."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

_POLICIES: Final = ("always", "missing", "never", "newer")

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--pull", metavar="POLICY", help="Pull the image: always, missing (the default), never, newer."),
    click.option("-q", "--quiet", is_flag=True, help="Do not show the progress of a pull."),
    click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="The platform to choose, where the image has several."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    policy = given.text("pull") or options.pull
    if policy not in _POLICIES:
        raise InvalidInput(f"invalid --pull option: {policy!r}", f"use one of {', '.join(_POLICIES)}")
    return options._replace(pull=policy, pulls_quietly=given.flag("quiet"), platform=given.text("platform"))
