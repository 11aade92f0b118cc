"""What a container's root file system lies in on the disk, for those who read it there: export, diff and commit."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from rootless.containers.documents import FILE, Document, has_begun
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import NoSuchObject
from rootless.images import layers
from rootless.linux import namespaces
from rootless.linux.sync import syncfs
from rootless.locations import Locations
from rootless.namespaces.parent import become_root
from rootless.storage.vfs import is_copied


class RootTrees(NamedTuple):
    """The upper and the layers' trees, topmost first; `late` is a process of a container whose root's server writes late, or 0.

    `whole_copy`: the upper holds everything (driver vfs).
    """

    upper: str
    layers: list[str]
    whole_copy: bool
    late: int


def root_trees(locations: Locations, document: Document) -> RootTrees:
    """Return where the files of a container are."""
    folder = ContainerStore(locations).folder(document["Id"])
    keys = reversed(document["Rl"]["LayerKeys"])
    entry = document["Rl"]["Entry"]  # with --init the command: init is closed for good
    late = document["Driver"] == "fuse" and has_begun(document["State"]) and is_of_this_node(document)
    return RootTrees(
        f"{folder}/upper",
        [f"{layers.folder_of(locations, key)}/{layers.TREE}" for key in keys],
        document["Driver"] == "vfs" and is_copied(folder),
        entry[0] if late and entry is not None else 0,
    )


@contextlib.contextmanager
def removal_told(locations: Locations, document: Document, name: str) -> Iterator[None]:
    """Raise `NoSuchObject` where files are missing because the container was removed while they were read."""
    try:
        yield
    except FileNotFoundError:
        if os.path.exists(f"{ContainerStore(locations).folder(document['Id'])}/{FILE}"):
            raise
        raise NoSuchObject(f"No such container: {name}", "it was removed meanwhile") from None


def sync_root(pid: int) -> None:
    """Have the server of a running container's FUSE root write out what it still holds; 0, or one that has ended, is synced.

    FUSE answers none but processes of the container's user namespace (fuse_allow_current_process), so a child of ours joins that,
    and nothing else of the container.
    """
    if not pid:
        return
    child = os.fork()
    if child == 0:
        number = errno.EIO
        try:
            _join_and_sync(pid)
            number = 0
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            number = 0
        except OSError as error:
            number = error.errno or number
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(abs(number), f"cannot write out the container's files: {os.strerror(abs(number))}")


def _join_and_sync(pid: int) -> None:
    user_namespace = namespaces.patiently(pid, lambda: namespaces.open_namespace(pid, namespaces.NEWUSER))
    namespaces.setns(user_namespace, namespaces.NEWUSER)
    become_root()  # the kernel sends no request of a user who is not mapped
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    syncfs(root)
