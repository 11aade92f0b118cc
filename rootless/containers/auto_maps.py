"""`--userns auto`: IDs for a new container among the subordinate ones, that no other container with it has.

The caller holds the image store's lock until the record is written, so that two do not choose the same. As in Podman, a container
has as many as the largest user or group of its image needs, and 1,024 at least.
"""

import os
from collections.abc import Iterator, Sequence

from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import NodeLacks
from rootless.linux.openat2 import open_in_root
from rootless.namespaces import custom_maps
from rootless.namespaces.custom_maps import Auto
from rootless.namespaces.idmap import MapLine, default_maps, is_auto
from rootless.runtime.users import MAX_FILE
from rootless.storage.root_filesystem import RootFilesystem

_LEAST = 1024
_MOST = 65536  # IDs above are not counted: an image has few of them, for nobody
_NOBODIES = (b"nobody", b"nogroup")


def choose_maps(store: ContainerStore, document: Document, root: RootFilesystem) -> None:
    """Put maps for the mode `auto` into a new container's record. Raises `NodeLacks` where too few IDs are free."""
    asked = custom_maps.parse_auto(document["HostConfig"]["UsernsMode"])
    size = asked.size or _size_of(root.layers, document["Config"]["User"])
    own = default_maps(os.getuid(), os.getgid()).maps
    count = min(sum(line.length for line in lines) for lines in own)
    first = _first_free(sorted(_taken(store, asked)), size, count)
    maps = {"UidMap": list(_lines(size, first, asked.uids)), "GidMap": list(_lines(size, first, asked.gids))}
    document["HostConfig"]["IDMappings"] = maps


def _lines(size: int, first: int, given: Sequence[MapLine]) -> Iterator[str]:
    """Yield INSIDE:OUTSIDE:LENGTH for all IDs below `size`: the given lines, and from `first` on for those between."""
    inside, outside = 0, first
    for line in (*sorted(given), MapLine(size, 0, 0)):
        gap = min(line.inside, size) - inside
        if gap > 0:
            yield f"{inside}:{outside}:{gap}"
            outside += gap
        if line.length:
            yield ":".join(map(str, line))
        inside = line.inside + line.length


def _first_free(taken: Sequence[tuple[int, int]], size: int, count: int) -> int:
    """Return the first ID from which on `size` are in none of the ranges `taken`, which are sorted; 0 is the user."""
    first = 1
    for start, end in taken:
        if first + size <= start:
            break
        first = max(first, end)
    if first + size > count:
        raise NodeLacks(
            f"--userns auto: no {size} subordinate IDs in a row are free: you have {count - 1}, and other containers have theirs",
            "remove containers with --userns auto, or ask for fewer: --userns auto:size=N",
        )
    return first


def _taken(store: ContainerStore, asked: Auto) -> Iterator[tuple[int, int]]:
    for line in (*asked.uids, *asked.gids):
        yield line.outside, line.outside + line.length
    for document in store.list():
        host_config = document["HostConfig"]
        if is_auto(str(host_config.get("UsernsMode") or "")):
            for texts in host_config["IDMappings"].values():
                for line in custom_maps.parse_map("IDMappings", texts):
                    yield line.outside, line.outside + line.length


def _size_of(layers: Sequence[str], user: str) -> int:
    """Return how many IDs an image's passwd and group files, and the container's user, need."""
    numbers = [int(part) for part in user.split(":") if part.isdecimal()]
    for file, field in (("passwd", 2), ("passwd", 3), ("group", 2)):
        for line in _read(layers, f"etc/{file}").splitlines():
            fields = line.split(b":")
            if len(fields) > field and fields[field].isdigit() and fields[0] not in _NOBODIES:
                numbers.append(int(fields[field]))
    return max(_LEAST, *(number + 1 for number in numbers if number < _MOST), 0)


def _read(layers: Sequence[str], path: str) -> bytes:
    """Return a file of the topmost layer that has it, b"" where none can be read: the image is data, and may be hostile."""
    for layer in layers:
        folder = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(open_in_root(folder, path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                return file.read(MAX_FILE)
        except OSError:
            continue
        finally:
            os.close(folder)
    return b""
