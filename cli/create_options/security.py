"""Options of what the container's processes may do."""

import os
from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--cap-add", multiple=True, metavar="CAPABILITY|ALL", help="Add a capability."),
    click.option("--cap-drop", multiple=True, metavar="CAPABILITY|ALL", help="Drop a capability."),
    click.option("--privileged", is_flag=True, help="All capabilities and your devices; no seccomp filter, nothing masked."),
    click.option(
        "--security-opt", "security", multiple=True, metavar="OPTION", help="seccomp=FILE, no-new-privileges, unmask=ALL, …"
    ),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    # A comma separates capabilities in Podman's form.
    add, drop = ([name for text in given.texts(option) for name in text.split(",")] for option in ("cap_add", "cap_drop"))
    privileged, security = given.flag("privileged"), given.texts("security")
    if not (add or drop or privileged or security):
        return options
    from rootless.containers import security_options  # with these options only

    return options.with_fields(security_options.parse(add, drop, security, privileged=privileged, uid=os.geteuid()))
