"""What a container changed of its root file system (`rl diff`)."""

import os
from typing import NamedTuple

from rootless.containers.root_trees import RootTrees, removal_told, root_trees, sync_root
from rootless.containers.store import ContainerStore
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.merged_tree import MergedTree
from rootless.storage.upper_changes import ENTERED, Changes


class PathChange(NamedTuple):
    """`kind` is A, C or D; `path` is absolute, bytes that are no UTF-8 as surrogates."""

    kind: str
    path: str


def changed_paths(locations: Locations, name: str) -> list[PathChange]:
    """Return what a container, running or not, has changed since it was made, sorted by path; a folder above a change is changed.

    The caller is single-threaded. Raises `NoSuchObject`, `OSError`.
    """
    document = ContainerStore(locations).find(name)
    with removal_told(locations, document, name):
        found = run_in_parent(locations, _list, root_trees(locations, document))
    kinds = {path: kind for kind, path in found if kind != ENTERED}
    for path in list(kinds):
        above = os.path.dirname(path)
        while above != "/" and above not in kinds:
            kinds[above] = "C"
            above = os.path.dirname(above)
    return [PathChange(kinds[path], path) for path in sorted(kinds, key=lambda path: path.split("/"))]


def _list(trees: RootTrees) -> list[tuple[str, str]]:
    sync_root(trees.late)
    with MergedTree([trees.upper, *trees.layers]) as tree:
        return [(change.kind, f"/{os.fsdecode(change.path)}") for change in Changes(tree, whole_copy=trees.whole_copy).walk()]
