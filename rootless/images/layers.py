"""Unpacked layers: their keys and folders.

    layers/FOLDER/d            the tree (the name is short: overlay's mount options hold at most 4,096 bytes)
    layers/FOLDER/files        what the tree has, a line a file (see `mtree`)
    layers/FOLDER/layer.json   written last: {"key", "diffID", "form": "native" | "flat", "size", …}
    layers/tmp-…               an unpacking under way, locked by its unpacker; left over when nobody holds the lock

FOLDER is the first 26 characters of the lower-case base32 of the key's digest: 130 bits. The key is the diff ID, so
that images share layers whatever is below them. Where the tar leaves out parent directories whose attributes in the
layers below differ from the default (0755, root, no xattrs), the unpacked layer suits only that stack, and its key is
the chain ID.
"""

import os
from typing import Final

from rootless.images.manifest import chain_ids
from rootless.locations import Locations

_FOLDER_LENGTH: Final = 26
_BASE32: Final = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 section 6, in lower case
TREE: Final = "d"
RECORD: Final = "layer.json"
FILES: Final = "files"
SIDE_FILE: Final = "override_stat.json"  # of flat layers: see `attributes`


def folder_of(locations: Locations, key: str) -> str:
    """Return the folder of an unpacked layer; `key` is a digest."""
    # By hand, because base64 takes half a millisecond to load and to make its tables.
    digest = key.partition(":")[2]
    number = int(digest, 16) >> (len(digest) * 4 - _FOLDER_LENGTH * 5)
    name = "".join(_BASE32[number >> shift & 31] for shift in range((_FOLDER_LENGTH - 1) * 5, -1, -5))
    return f"{locations.layers}/{name}"


def is_unpacked(locations: Locations, key: str) -> bool:
    """Tell whether a layer with this key is there (folders appear complete, by rename)."""
    return os.path.exists(folder_of(locations, key))


def keys_of(locations: Locations, diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the key of each layer of a stack, bottom first: the chain ID where such a layer is unpacked, else the diff ID."""
    return tuple(
        diff_id if chain_id == diff_id or not is_unpacked(locations, chain_id) else chain_id
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True)
    )
