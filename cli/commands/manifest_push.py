"""`rl manifest push`: put an image list into a registry."""

import os

import click

from cli.list_instances import TRANSPORT
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.verb import Verb
from rootless.errors import InvalidInput
from rootless.images import manifest_list, reference
from rootless.images.layout import REF_NAME, Layout, annotation
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("--all/--no-all", "everything", default=True, help="Push the list's images, too (the default; --all=false).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing.")
@click.option("--rm", "remove", is_flag=True, help="Remove the list from the store afterwards.")
@registry_options
@click.argument("name", metavar="LIST")
@click.argument("destination", metavar="[DESTINATION]", required=False)
def command(*, name: str, destination: str | None, everything: bool, quiet: bool, remove: bool, by: Reach) -> int:
    """Put an image list, and its images, into the registry that DESTINATION or else its own name has; print its digest."""
    from rootless.images.list_transfer import push_list  # trio and httpx, 0.3 s: not for `--help`

    locations = from_environment(os.environ, os.geteuid())
    entry, _index = manifest_list.find(locations, name)
    target = reference.parse((destination or annotation(entry, REF_NAME) or name).removeprefix(TRANSPORT))
    if target.digest is not None:
        raise InvalidInput(f"cannot push a list to a digest: {destination!r}", "give NAME[:TAG]")
    with open(Layout(locations).blob_path(entry["digest"]), "rb") as blob:
        content = blob.read()
    digest = push_list(locations, target, content, by.environ, everything=everything, access=by.access)
    if not quiet:
        emit(digest)
    if remove:
        from cli.commands.manifest_rm import command as manifest_rm  # with the option only

        return int(manifest_rm.main([name], standalone_mode=False) or 0)
    return 0
