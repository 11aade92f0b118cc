"""`rl container inspect`: all that is known of containers."""

import click

from cli.commands.inspect import show
from cli.verb import GoFlags


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.option("-s", "--size", is_flag=True, help="Show how much disk they take, too.")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, names: tuple[str, ...], form: str | None, size: bool) -> int:
    """Show all that is known of containers, as JSON."""
    return show(names, form, "container", size=size)
