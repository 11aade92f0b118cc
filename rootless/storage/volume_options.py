"""Options of the volume driver `local` (`-o type=… -o device=… -o o=…`), as far as a user can mount what they name.

Docker's driver hands them to mount(2). A user may mount a tmpfs, and bind what is there; network file systems and disks are the
administrator's to mount.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rootless.errors import InvalidInput

FOLDER: Final = "folder"
BIND: Final = "bind"
TMPFS: Final = "tmpfs"

_KEYS: Final = ("type", "device", "o")
_BINDS: Final = {"", "none", "bind"}
_TMPFS_KEYS: Final = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge", "mpol"})
_FLAGS: Final = frozenset({"ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "noatime", "relatime", "strictatime"})


class VolumeSource(NamedTuple):
    """What a volume's options make of it: `kind` FOLDER (its own), BIND of `device`, or TMPFS; and the mount's options."""

    kind: str
    device: str
    options: tuple[str, ...]


def parse_options(options: Mapping[str, str]) -> VolumeSource:
    """Return what the options of a volume mean. Raises `InvalidInput` for what a user cannot have."""
    for key in options:
        if key == "size":
            raise InvalidInput(
                'the volume option "size" needs project quotas, which are the administrator\'s',
                "for a volume in memory: -o type=tmpfs -o device=tmpfs -o o=size=100m",
            )
        if key not in _KEYS:
            raise InvalidInput(f'invalid option: "{key}"', "the driver local takes type, device and o")
    kind, device = options.get("type", ""), options.get("device", "")
    words = tuple(filter(None, options.get("o", "").split(",")))
    if not options:
        return VolumeSource(FOLDER, "", ())
    if kind == "tmpfs":
        return _tmpfs(device, words)
    if kind in _BINDS:
        return _bind(device, words)
    raise InvalidInput(
        f'a volume of type "{kind}" cannot be mounted by a user',
        "have the administrator mount it, and bind it: -o type=none -o o=bind -o device=/where/it/is",
    )


def _tmpfs(device: str, words: tuple[str, ...]) -> VolumeSource:
    if not device:
        raise InvalidInput('missing required option: "device"', "for a tmpfs it may have any value: -o device=tmpfs")
    for word in words:
        if word not in _FLAGS and word.partition("=")[0] not in _TMPFS_KEYS:
            raise InvalidInput(f'invalid option of a tmpfs volume: "{word}"', "known are size=, mode=, uid=, gid=, and flags")
    return VolumeSource(TMPFS, device, words)


def _bind(device: str, words: tuple[str, ...]) -> VolumeSource:
    binds = [word for word in words if word in {"bind", "rbind"}]
    if not binds:
        raise InvalidInput("a volume without a file system type must be a bind", "add -o o=bind, or use -o type=tmpfs")
    if not device.startswith("/"):
        raise InvalidInput(f'a bind needs an absolute path as its device, not "{device}"', "add -o device=/path/on/node")
    for word in words:
        if word not in _FLAGS and word not in binds:
            raise InvalidInput(f'invalid option of a bind volume: "{word}"', "known are bind, rbind, and flags as ro and noexec")
    return VolumeSource(BIND, device, words)
