"""The options of an OCI mount, taken apart (runtime-spec config.md, "Linux mount options"; mount(8)).

Options are of four kinds: flags of a new file system, which mount(2) takes and of which some hold for each mount, so a bind can
have its own; the same for a mount with all below it (`rro`, `rnosuid`, …); propagations; and what is left, data for a file system.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from rootless.linux import mounts

_ATIME: Final = mounts.MOUNT_ATTR__ATIME
_MS_ATIMES: Final = mounts.MS_NOATIME | mounts.MS_RELATIME | mounts.MS_STRICTATIME


# What one option does: flags of mount(2) that it sets and clears, and of a mount (mount_setattr(2)) that it sets and clears.
_Flag: TypeAlias = tuple[int, int, int, int]

# Flags of each mount; `r` before the name means all mounts below, too.
_OF_MOUNT: Final[dict[str, _Flag]] = {
    "ro": (mounts.MS_RDONLY, 0, mounts.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mounts.MS_RDONLY, 0, mounts.MOUNT_ATTR_RDONLY),
    "nosuid": (mounts.MS_NOSUID, 0, mounts.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mounts.MS_NOSUID, 0, mounts.MOUNT_ATTR_NOSUID),
    "nodev": (mounts.MS_NODEV, 0, mounts.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mounts.MS_NODEV, 0, mounts.MOUNT_ATTR_NODEV),
    "noexec": (mounts.MS_NOEXEC, 0, mounts.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mounts.MS_NOEXEC, 0, mounts.MOUNT_ATTR_NOEXEC),
    "nosymfollow": (mounts.MS_NOSYMFOLLOW, 0, mounts.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, mounts.MS_NOSYMFOLLOW, 0, mounts.MOUNT_ATTR_NOSYMFOLLOW),
    "nodiratime": (mounts.MS_NODIRATIME, 0, mounts.MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, mounts.MS_NODIRATIME, 0, mounts.MOUNT_ATTR_NODIRATIME),
    "noatime": (mounts.MS_NOATIME, _MS_ATIMES, mounts.MOUNT_ATTR_NOATIME, _ATIME),
    "atime": (0, mounts.MS_NOATIME, mounts.MOUNT_ATTR_RELATIME, _ATIME),
    "relatime": (mounts.MS_RELATIME, _MS_ATIMES, mounts.MOUNT_ATTR_RELATIME, _ATIME),
    "norelatime": (0, mounts.MS_RELATIME, mounts.MOUNT_ATTR_RELATIME, _ATIME),  # the kernel's default is relatime
    "strictatime": (mounts.MS_STRICTATIME, _MS_ATIMES, mounts.MOUNT_ATTR_STRICTATIME, _ATIME),
    "nostrictatime": (0, mounts.MS_STRICTATIME, mounts.MOUNT_ATTR_RELATIME, _ATIME),
}
_RECURSIVE: Final = {f"r{name}": flag for name, flag in _OF_MOUNT.items()}
# Flags of a file system: a bind shows one that has its own already, and mount(2) ignores them there.
_OF_FILE_SYSTEM: Final = {
    "defaults": (0, 0),
    "sync": (mounts.MS_SYNCHRONOUS, 0),
    "async": (0, mounts.MS_SYNCHRONOUS),
    "dirsync": (mounts.MS_DIRSYNC, 0),
    "mand": (mounts.MS_MANDLOCK, 0),
    "nomand": (0, mounts.MS_MANDLOCK),
    "silent": (mounts.MS_SILENT, 0),
    "loud": (0, mounts.MS_SILENT),
    "iversion": (mounts.MS_I_VERSION, 0),
    "noiversion": (0, mounts.MS_I_VERSION),
    "lazytime": (mounts.MS_LAZYTIME, 0),
    "nolazytime": (0, mounts.MS_LAZYTIME),
}
_HOW: Final = {
    "bind": mounts.MS_BIND,
    "rbind": mounts.MS_BIND | mounts.MS_REC,
    "remount": mounts.MS_REMOUNT,
}
PROPAGATIONS: Final = {
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
    "unbindable": (mounts.MS_UNBINDABLE, False),
    "runbindable": (mounts.MS_UNBINDABLE, True),
}
"""Propagation type and whether it holds for all mounts below, by option; also the values of `rootfsPropagation`."""

COPY_UP: Final = "tmpcopyup"
ID_MAPS: Final = {"idmap": False, "ridmap": True}
_OURS: Final = frozenset({COPY_UP, *ID_MAPS})
KNOWN: Final = frozenset({*_OF_MOUNT, *_RECURSIVE, *_OF_FILE_SYSTEM, *_HOW, *PROPAGATIONS, *_OURS})
"""Every option that is no data for a file system (`rl oci features`)."""


class Change(NamedTuple):
    """MOUNT_ATTR_* to set on and to clear from a mount."""

    setting: int
    clearing: int

    def then(self, flag: _Flag) -> "Change":
        """Return both in one; of what contradicts the later holds. The access-time field is cleared whenever it is set."""
        _ms_set, _ms_clear, attr_set, attr_clear = flag
        setting = self.setting & ~attr_clear | attr_set
        clearing = self.clearing & ~(attr_set & ~_ATIME) | attr_clear
        return Change(setting, clearing)


_NOTHING: Final = Change(0, 0)


class MountOptions(NamedTuple):
    """Options of one OCI mount, taken apart."""

    flags: int  # of mount(2), MS_BIND, MS_REC and MS_REMOUNT among them
    own: Change
    recursive: Change
    propagations: tuple[tuple[int, bool], ...]  # in the order given: a mount can be slave and shared
    data: str
    copy_up: bool
    id_map: str  # idmap, ridmap or ""


def parse_options(options: Sequence[str]) -> MountOptions:
    """Take the options of an OCI mount apart; what is no flag and no propagation goes to the file system as data."""
    flags = 0
    own = recursive = _NOTHING
    propagations = []
    data = []
    for option in options:
        if option in _OF_MOUNT:
            flag = _OF_MOUNT[option]
            flags = flags & ~flag[1] | flag[0]
            own = own.then(flag)
        elif option in _RECURSIVE:
            recursive = recursive.then(_RECURSIVE[option])
        elif option in PROPAGATIONS:
            propagations.append(PROPAGATIONS[option])
        elif option in _HOW:
            flags |= _HOW[option]
        elif option in _OF_FILE_SYSTEM:
            setting, clearing = _OF_FILE_SYSTEM[option]
            flags = flags & ~clearing | setting
        elif option not in _OURS:
            data.append(option)
    id_map = next((option for option in options if option in ID_MAPS), "")
    return MountOptions(flags, own, recursive, tuple(propagations), ",".join(data), COPY_UP in options, id_map)
