"""`RUN --mount=type=…`: the fields of each type, as BuildKit reads them (Dockerfile reference, "RUN --mount")."""

import csv
from collections.abc import Callable
from typing import Final, NamedTuple

from rootless.build.dockerfile.flags import did_you_mean
from rootless.containers.mount_request import parse_size
from rootless.errors import InvalidInput

BIND: Final = "bind"
CACHE: Final = "cache"
TMPFS: Final = "tmpfs"
SECRET: Final = "secret"  # noqa: S105 - a type of mount
SSH: Final = "ssh"
SHARED, PRIVATE, LOCKED = "shared", "private", "locked"

_SYNONYMS: Final = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_IDS: Final = frozenset({"uid", "gid", "mode"})
_FIELDS: Final[dict[str, frozenset[str]]] = {
    BIND: frozenset({"target", "source", "from", "readonly", "readwrite"}),
    CACHE: frozenset({"target", "source", "from", "readonly", "readwrite", "id", "sharing"}) | _IDS,
    TMPFS: frozenset({"target", "size"}),
    SECRET: frozenset({"target", "id", "required", "env"}) | _IDS,
    SSH: frozenset({"target", "id", "required"}) | _IDS,
}
_ALL: Final = sorted({"type", *_SYNONYMS, *frozenset().union(*_FIELDS.values())})
_EXPANDED: Final = ("from", "source", "target", "id")
_BARE: Final = frozenset({"readonly", "readwrite", "required"})
_LONGEST_ID: Final = 10  # digits


class Mount(NamedTuple):
    """One mount; what its type has no use for is empty. `mode`, `uid` and `gid` are None where they are not given."""

    kind: str
    target: str = ""
    source: str = ""
    origin: str = ""  # from=: a stage, an image or a context
    writable: bool = False
    id: str = ""
    sharing: str = SHARED
    required: bool = False
    variable: str = ""  # env=
    size: int = 0  # bytes; 0: no limit
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def source_of_mount(text: str) -> str:
    """Return what a mount takes files from, or "": a stage, an image, a context."""
    for field in fields_of(text):
        key, _, value = field.partition("=")
        if key.strip().lower() == "from":
            return value
    return ""


def parse_mount(text: str, expand: Callable[[str], str] = lambda word: word) -> Mount:
    """Return what one --mount asks for; `expand` replaces the variables in names and paths. Raises `InvalidInput`."""
    fields: dict[str, str] = {}
    for field in fields_of(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if key not in _ALL:
            raise InvalidInput(f"unexpected key '{key:.100}' in '{field:.100}'" + did_you_mean(key, _ALL))
        key = _SYNONYMS.get(key, key)
        if not equals and key not in _BARE:
            raise InvalidInput(f"invalid field '{field:.100}' must be a key=value pair")
        fields[key] = expand(value) if key in _EXPANDED else value if equals else "true"
    kind = fields.pop("type", BIND).lower()
    known = _FIELDS.get(kind)
    if known is None:
        raise InvalidInput(f'unsupported mount type "{kind:.100}"' + did_you_mean(kind, _FIELDS))
    for key in fields:
        if key not in known:
            raise InvalidInput(f"unexpected key '{key}' for mount type '{kind}'", f"it takes {', '.join(sorted(known))}")
    if kind in (BIND, CACHE, TMPFS) and not fields.get("target"):
        raise InvalidInput(f"a mount of type {kind} needs a target", f"--mount=type={kind},target=PATH")
    return _mount(kind, fields)


def _mount(kind: str, fields: dict[str, str]) -> Mount:
    sharing = fields.get("sharing", SHARED).lower()
    if sharing not in (SHARED, PRIVATE, LOCKED):
        raise InvalidInput(f'unsupported sharing value "{sharing:.100}"' + did_you_mean(sharing, (SHARED, PRIVATE, LOCKED)))
    writable = kind == CACHE or _boolean(fields, "readwrite")
    return Mount(
        kind,
        fields.get("target", ""),
        fields.get("source", ""),
        fields.get("from", ""),
        writable and not _boolean(fields, "readonly"),
        fields.get("id", ""),
        sharing,
        _boolean(fields, "required"),
        fields.get("env", ""),
        parse_size(fields["size"], "size of a tmpfs mount") if "size" in fields else 0,
        _number(fields, "mode", 8),
        _number(fields, "uid", 10),
        _number(fields, "gid", 10),
    )


def fields_of(text: str) -> list[str]:
    """Return the fields of a line of comma-separated values, with quotes as CSV has them (RFC 4180)."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise InvalidInput(f"cannot read the mount {text!r:.200}: {error}") from None


def _boolean(fields: dict[str, str], key: str) -> bool:
    value = fields.get(key, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise InvalidInput(f"invalid value for {key}: {value:.100}", "true or false")
    return value in ("true", "1")


def _number(fields: dict[str, str], key: str, base: int) -> int | None:
    text = fields.get(key)
    if text is None:
        return None
    digits = text.removeprefix("0o") if base == 8 else text
    if not digits or len(digits) > _LONGEST_ID or set(digits) - set("0123456789"[:base]):
        raise InvalidInput(f"invalid value {text:.100} for {key}", "an octal number" if base == 8 else "a number")
    return int(digits, base)
