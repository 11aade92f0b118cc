"""A container's root file system as a tar (`rl export`)."""

import os

from rootless import events
from rootless.containers.root_trees import removal_told, root_trees, sync_root
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject
from rootless.images.output_file import write_all
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.merged_tree import MergedTree
from rootless.storage.node_tar import NodeTar


def export(locations: Locations, name: str, output: int) -> None:
    """Write the root file system of a container, running or not, as a tar to a descriptor; volumes and other mounts are left out.

    Owners, modes, times, hard links and xattrs are those that the container sees. What a running container changes meanwhile may
    be in the tar or not. The caller is single-threaded. Raises `NoSuchObject`, `InvalidInput`, `NodeLacks`, `OSError`.
    """
    store = ContainerStore(locations)
    document = store.find(name)
    trees = root_trees(locations, document)
    lower = [] if trees.whole_copy else trees.layers
    with removal_told(locations, document, name):
        run_in_parent(locations, _write_tree, [trees.upper, *lower], output, trees.late)
    if not os.path.exists(f"{store.folder(document['Id'])}/container.json"):
        raise NoSuchObject(f"container {name} was removed while it was exported", "what was written is not whole")
    events.emit_container(locations, document, "export")


def _write_tree(trees: list[str], output: int, pid: int) -> None:
    sync_root(pid)
    with MergedTree(trees) as tree:
        archive = NodeTar(tree, lambda data: write_all(output, data))
        for node in tree.walk():
            archive.add(node)
        archive.finish()
