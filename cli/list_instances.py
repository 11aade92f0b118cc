"""What the verbs of `rl manifest` take as images: names in the store, digests in a list, names in registries."""

from typing import Any, Final

import click

from cli.registry_options import Reach
from rootless.errors import InvalidInput
from rootless.images import manifest_list, reference
from rootless.images.layout import Descriptor
from rootless.images.manifest_list import Changes
from rootless.images.store import ImageStore
from rootless.locations import Locations

TRANSPORT: Final = "docker://"


def instances(locations: Locations, name: str, by: Reach, *, everything: bool) -> list[Descriptor]:
    """Return what a list says of an image: of the store, or else fetched from the registry that the name has."""
    store = ImageStore(locations)
    if not name.startswith(TRANSPORT):
        entry = store.find_descriptor(store.layout.descriptors(), name)
        if entry is not None:
            return manifest_list.instances_of(store, entry)
    from rootless.images.list_transfer import Source  # trio and httpx, 0.3 s: only for registries

    store.layout.prepare()
    source = Source(locations, by.environ, access=by.access)
    return source.fetch(reference.parse(name.removeprefix(TRANSPORT)), everything=everything)


def digests_of(locations: Locations, name: str) -> set[str]:
    """Return the digests that a name may have in a list: itself, or the manifests of an image of the store."""
    if reference.is_digest(name):
        return {name}
    store = ImageStore(locations)
    entry = store.find_descriptor(store.layout.descriptors(), name)
    return {str(one["digest"]) for one in manifest_list.instances_of(store, entry)} if entry is not None else set()


def changes_options(function: Any) -> Any:
    """Add the options that describe an instance."""
    for option in (
        click.option("--variant", metavar="TEXT", help="Override its variant."),
        click.option("--os", "system", metavar="TEXT", help="Override its operating system."),
        click.option("--arch", metavar="TEXT", help="Override its architecture."),
        click.option("--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="Set an annotation of it."),
    ):
        function = option(function)
    return function


def changes_of(arch: str | None, system: str | None, variant: str | None, annotations: tuple[str, ...]) -> Changes:
    """Return what the options ask for. Raises `InvalidInput` for an annotation without `=`."""
    for text in annotations:
        if "=" not in text:
            raise InvalidInput(f"no value given for annotation {text!r}", "annotations look like KEY=VALUE")
    return Changes(system, arch, variant, dict(text.partition("=")[::2] for text in annotations))
