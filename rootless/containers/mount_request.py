"""One mount that the user asks for, parsed from `-v`, `--mount` or `--tmpfs`; nothing has been looked at on the node yet."""

import os
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput

BIND: Final = "bind"
VOLUME: Final = "volume"
TMPFS: Final = "tmpfs"
IMAGE: Final = "image"
DEVPTS: Final = "devpts"

PROPAGATIONS: Final = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
TMPFS_DEFAULTS: Final = ("nosuid", "nodev", "noexec")

_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Overlay(NamedTuple):
    """An overlay over the source: what the container writes goes to `upper` (with `work`), where "" is thrown away at its end."""

    upper: str = ""
    work: str = ""


class MountRequest(NamedTuple):
    """A mount; fields that its kind has no use for are empty."""

    kind: str  # BIND, VOLUME, TMPFS, IMAGE, DEVPTS
    source: str  # an absolute path, the name of a volume ("": an anonymous one) or of an image
    target: str  # absolute and normalised
    options: tuple[str, ...] = ()  # of the OCI mount
    read_only: bool = False
    bind: str | None = None  # what HostConfig.Binds has of it, where it was given by -v
    document: dict[str, Any] | None = None  # what HostConfig.Mounts has of it, where it was given by --mount
    mode: str = ""  # the options of -v, as given
    makes_source: bool = False  # the source of a bind is made as a folder where it is missing
    copies_up: bool = True  # an empty volume gets what the image has there
    changes_owner: bool = False  # to the container's user
    overlay: Overlay | None = None
    subpath: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    driver_options: tuple[tuple[str, str], ...] = ()
    layer_keys: tuple[str, ...] = ()  # of an image that is not in the store, bottom first: a stage of a build


def check_target(target: str) -> str:
    """Return the normalised path of a mount in the container. Raises `InvalidInput` with Docker's words."""
    if not target.startswith("/"):
        raise InvalidInput(f"invalid mount path: '{target}' mount path must be absolute", "give a path that begins with /")
    path = os.path.normpath(target)
    if path in {"/", "//"}:
        raise InvalidInput("invalid specification: destination can't be '/'", "choose a folder below it")
    if path.split("/")[1] == "proc":
        raise InvalidInput(f"nothing can be mounted inside /proc: {target}", "choose another path in the container")
    if "\0" in path:
        raise InvalidInput("a mount path cannot hold a NUL")
    return path


def parse_size(value: str, what: str) -> int:
    """Return bytes of `64m`, `1g`, `1024` and the like. Raises `InvalidInput`, which calls the value `what`."""
    number = value.rstrip("bBkKmMgGtTiI")
    unit = value[len(number) :].lower()
    if unit in {"kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"}:
        unit = unit[0]
    if not number.isdecimal() or not number.isascii() or unit not in _UNITS or len(number) > 18:
        raise InvalidInput(f"invalid {what}: {value!r}", "give bytes, or a number with k, m or g")
    return int(number) * _UNITS[unit]
