"""What the whole-`rl` tests do not ask of a storage driver named for all: RL_STORAGE_DRIVER=vfs contrib/test tests/system

With fuse everything passes.
"""

from typing import Final

DIFFERENCES: Final = {
    "vfs": {
        "test_id_maps.py::": "other ID maps need the driver fuse; another one that is named is refused",
        "test_lists.py::test_sizes_and_ports_in_lists": "a container has a copy of its image, and all of it counts as its size",
        "test_surroundings.py::test_a_file_size_limit": "the copy of the image is over the limit",
    },
    "overlay": {"test_id_maps.py::": "as with vfs"},
}


def why_not(node_id: str, driver: str) -> str | None:
    """Return why a test is not for a driver, or None where it is."""
    return next((reason for part, reason in DIFFERENCES.get(driver, {}).items() if part in node_id), None)
