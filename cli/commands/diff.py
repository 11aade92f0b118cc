"""`rl diff`: what a container changed of its files."""

import os

import click

from cli.changes import show_changes
from cli.verb import Verb
from rootless.containers.diff import changed_paths
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", type=click.Choice(["json"]), help="'json' for lists by kind.")
@click.argument("container", metavar="CONTAINER")
def command(*, container: str, form: str | None) -> None:
    """Show what a container added (A), changed (C) and deleted (D) of its root file system."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    show_changes(changed_paths(locations, container), form)
