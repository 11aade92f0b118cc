"""What `--umask` and `--tz` take."""

import os
from typing import Final

from rootless.errors import InvalidInput

LOCAL_TIME: Final = "/etc/localtime"
_ZONES: Final = "/usr/share/zoneinfo"


def check_umask(text: str) -> str:
    """Return a umask as inspect shows it, four octal digits. Raises `InvalidInput`."""
    if not text or len(text) > 4 or not set(text) <= set("01234567") or int(text, 8) > 0o777:
        raise InvalidInput(f"invalid umask string {text!r}", "give up to four octal digits: 0027")
    return text.rjust(4, "0")


def zone_file(name: str, zones: str = _ZONES) -> str:
    """Return the node's file of a time zone, or for `local` of its own. Raises `InvalidInput`."""
    path = os.path.realpath(LOCAL_TIME if name == "local" else f"{zones}/{name}")
    inside = name == "local" or path.startswith(f"{os.path.realpath(zones)}/")
    try:
        with open(path, "rb") as file:
            known = inside and file.read(4) == b"TZif"  # RFC 8536
    except OSError:
        known = False
    if not known:
        raise InvalidInput(f"unknown time zone {name}", f"give local, or a name below {zones} such as Europe/Berlin")
    return path
