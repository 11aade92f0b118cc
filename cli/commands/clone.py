"""`rl clone`: make a container like another one."""

import os

import click

from cli import image_for_container
from cli.create_options.again import options_of
from cli.session import detached_start
from cli.tables import emit
from cli.verb import Verb
from rootless.containers import lifecycle
from rootless.containers.create import create
from rootless.containers.documents import Document
from rootless.containers.pod_options import in_pod
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, InvalidInput
from rootless.locations import Locations, from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("--destroy", is_flag=True, help="Remove the original afterwards.")
@click.option("-f", "--force", is_flag=True, help="With --destroy: also when it runs.")
@click.option("--name", "given_name", metavar="NAME", help="The new name (default: the original's and -clone).")
@click.option("--run", "starts", is_flag=True, help="Start the new container, in the background.")
@click.argument("container")
@click.argument("name", required=False)
@click.argument("image", required=False)
def command(
    *, container: str, name: str | None, image: str | None, destroy: bool, force: bool, given_name: str | None, starts: bool
) -> None:
    """Make a container with the options and the command of CONTAINER, called NAME, from the same image or from IMAGE.

    It gets the same named volumes, and anonymous ones and files of its own. Prints its ID.
    """
    if name and given_name and name != given_name:
        raise InvalidInput(f"two names for the new container: {name} and {given_name}", "leave out --name")
    if force and not destroy:
        raise InvalidInput("--force is only for --destroy", "leave it out, or give --destroy, too")
    locations = from_environment(os.environ, os.geteuid())
    store = ContainerStore(locations)
    original = store.find(container)
    if destroy:
        if original["State"]["Running"] and not force:
            raise InUse(f"container {container} is running", "stop it first, or give --force, too")
        lifecycle.refuse_foreign(original)
    document = _clone(locations, original, name or given_name or _free_name(store, original), image, starts=starts)
    if destroy:
        lifecycle.remove(locations, original["Id"], force=force)
    emit(document["Id"])


def _clone(locations: Locations, original: Document, name: str, image: str | None, *, starts: bool) -> Document:
    make_private_folder(locations.runtime_dir)
    wanted = options_of(original, name, image_for_container.config_of(locations, original["Image"]))
    found, image_name = image_for_container.find(locations, image or original["Image"], wanted)
    with lifecycle.signals_held():
        shown = image_name if image else str(original["Config"]["Image"])
        document, lock = create(locations, os.environ, found, shown, in_pod(locations, wanted), started_at_once=starts)
        if not starts:
            lock.release()
            return document
        running = lifecycle.begin(locations, document, lock)
    detached_start(running)
    return document


def _free_name(store: ContainerStore, original: Document) -> str:
    base = f"{original['Name'].lstrip('/')}-clone"
    taken = {document["Name"].lstrip("/") for document in store.list()}
    return next(name for number in range(len(taken) + 1) if (name := f"{base}{number or ''}") not in taken)
