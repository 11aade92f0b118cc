"""What is known of one call of `rl` besides its arguments: the object of click's outermost context."""

from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from rootless.containers.standby import Standby


class Invocation(NamedTuple):
    """One call."""

    called: list[str]  # the groups' and the verb's names, once they are known
    standby: "Standby | None"


def current_standby() -> "Standby | None":
    """Return the monitor that stands by for the verb that runs, if one does."""
    invocation = click.get_current_context().find_root().obj
    return invocation.standby if isinstance(invocation, Invocation) else None
