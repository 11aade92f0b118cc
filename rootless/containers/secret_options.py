"""`--secret NAME[,type=mount|env][,target=…][,uid=…][,gid=…][,mode=…]`: which secrets a container gets, and how."""

import os
from typing import Final, NamedTuple

from rootless.errors import InvalidInput

FOLDER: Final = "/run/secrets"
MOUNT: Final = "mount"
ENV: Final = "env"

_KEYS: Final = ("source", "type", "target", "uid", "gid", "mode")
_SYNONYMS: Final = {"src": "source", "id": "source", "dst": "target", "destination": "target"}


class SecretRequest(NamedTuple):
    """One secret; `target` is a path in the container, or with type ENV the name of a variable.

    `data` is what it holds where it is none of the user's store (None).
    """

    name: str
    kind: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444
    data: bytes | None = None


def parse_secret(text: str) -> SecretRequest:
    """Return what one `--secret` asks for. Raises `InvalidInput`."""
    fields: dict[str, str] = {}
    for position, part in enumerate(text.split(",")):
        key, separator, value = part.partition("=")
        if position == 0 and not separator:
            key, value = "source", part
        key = _SYNONYMS.get(key, key)
        if key not in _KEYS or not value:
            raise _invalid(text, f"invalid option {part!r}")
        fields[key] = value
    name, kind = fields.get("source", ""), fields.get("type", MOUNT)
    if not name:
        raise _invalid(text, "no secret is named")
    if kind == ENV:
        if {"uid", "gid", "mode"} & set(fields):
            raise _invalid(text, "UID, GID and mode cannot be given with type env")
        if "=" in fields.get("target", "") or "\0" in text:
            raise _invalid(text, "the target is no name of a variable")
        return SecretRequest(name, ENV, fields.get("target", name))
    if kind != MOUNT:
        raise _invalid(text, f"unknown type {kind!r}")
    mode = fields.get("mode", "444")
    if set(mode) - set("01234567") or int(mode, 8) > 0o7777:
        raise _invalid(text, f"mode {mode!r} is not octal")
    uid, gid = _number(fields, "uid", text), _number(fields, "gid", text)
    return SecretRequest(name, MOUNT, _path(fields.get("target", name), text), uid, gid, int(mode, 8))


def _path(target: str, text: str) -> str:
    path = os.path.normpath(os.path.join(FOLDER, target))
    is_relative = not target.startswith("/")
    if path in {"/", FOLDER} or "\0" in path or (is_relative and not path.startswith(f"{FOLDER}/")):
        raise _invalid(text, f"the target {target!r} is no path of a file")
    return path


def _number(fields: dict[str, str], key: str, text: str) -> int:
    value = fields.get(key, "0")
    if not value.isascii() or not value.isdecimal() or int(value) >= 1 << 31:
        raise _invalid(text, f"{key} {value!r} is no ID")
    return int(value)


def _invalid(text: str, reason: str) -> InvalidInput:
    return InvalidInput(f"invalid secret: {text!r}: {reason}", "secrets look like: NAME,type=mount,target=file,uid=0,mode=0400")
