"""Docker's syntax of volumes and mounts: what `-v` and `--mount` mean, as OCI mounts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rootless.errors import InvalidInput

_MOUNT_KEYS = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "bind-propagation": "propagation",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
}
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_READ_ONLY = ["ro", "rro"]  # with all that is mounted below, as in Docker since 25
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_volume(text: str, cwd: str) -> dict[str, Any]:
    """Return the OCI mount of `-v SOURCE:TARGET[:OPTIONS]`; the source is made as a folder where it is missing, as in Docker."""
    source, separator, rest = text.partition(":")
    target, _, option_text = rest.partition(":")
    if not separator:
        raise InvalidInput(f"anonymous volumes are not supported: {text}", "give the source, too: -v /on/node:/in/container")
    if not source.startswith(("/", ".", "~")):
        raise InvalidInput(f"named volumes are not supported: {source}", f"give a path: -v ./{source}:{target}")
    source = os.path.normpath(os.path.join(cwd, os.path.expanduser(source)))
    _check_target(target, text)
    options = ["rbind"]
    for option in filter(None, option_text.split(",")):
        if option in ("ro", "rw", *_PROPAGATIONS):
            options.extend(_READ_ONLY if option == "ro" else [option])
        elif option not in ("z", "Z"):  # SELinux labels: nothing to do without SELinux, as Docker does
            raise InvalidInput(f'invalid option "{option}" in the volume {text}', "known are ro, rw, z, Z and the propagations")
    if not os.path.lexists(source):
        os.makedirs(source)
    return _bind(source, target, options)


def parse_mount(text: str, cwd: str) -> dict[str, Any]:
    """Return the OCI mount of `--mount type=bind|tmpfs,…`; unlike with `-v` the source must exist."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if key not in _MOUNT_KEYS:
            raise InvalidInput(f'unknown key "{key}" in the mount {text}', f"known are {', '.join(_MOUNT_KEYS)}")
        fields[_MOUNT_KEYS[key]] = value if separator else "true"
    _check_target(fields.get("target", ""), text)
    kind = fields.get("type", "volume")
    if kind == "bind":
        return _bind_mount(fields, text, cwd)
    if kind == "tmpfs":
        return _tmpfs_mount(fields, text)
    raise InvalidInput(f"mounts of type {kind} are not supported: {text}", "choose type=bind or type=tmpfs")


def _bind_mount(fields: Mapping[str, str], text: str, cwd: str) -> dict[str, Any]:
    _refuse(fields, ("size", "mode"), "bind", text)
    if not fields.get("source"):
        raise InvalidInput(f"a bind mount needs a source: {text}", "add source=/path/on/node")
    source = os.path.normpath(os.path.join(cwd, fields["source"]))
    if not os.path.lexists(source):
        raise InvalidInput(f"bind source path does not exist: {source}", "create it first, or use -v, which creates folders")
    propagation = fields.get("propagation")
    if propagation is not None and propagation not in _PROPAGATIONS:
        raise InvalidInput(f'invalid bind-propagation "{propagation}" in the mount {text}', f"known are {', '.join(_PROPAGATIONS)}")
    options = ["rbind", *([propagation] if propagation else []), *(_READ_ONLY if _is_true(fields.get("readonly"), text) else [])]
    return _bind(source, fields["target"], options)


def _tmpfs_mount(fields: Mapping[str, str], text: str) -> dict[str, Any]:
    _refuse(fields, ("source", "propagation"), "tmpfs", text)
    options = ["nosuid", "nodev", "noexec"]
    if "size" in fields:
        options.append(f"size={_size(fields['size'], text)}")
    if "mode" in fields:
        if not fields["mode"] or set(fields["mode"]) - set("01234567"):
            raise InvalidInput(f'invalid tmpfs-mode "{fields["mode"]}" in the mount {text}', "give it in octal, for example 1777")
        options.append(f"mode={fields['mode']}")
    if _is_true(fields.get("readonly"), text):
        options.append("ro")
    return {"destination": os.path.normpath(fields["target"]), "type": "tmpfs", "source": "tmpfs", "options": options}


def _bind(source: str, target: str, options: Sequence[str]) -> dict[str, Any]:
    return {"destination": os.path.normpath(target), "type": "bind", "source": source, "options": list(options)}


def _check_target(target: str, text: str) -> None:
    if not target.startswith("/"):
        raise InvalidInput(f'invalid mount "{text}": the path in the container must be absolute, not "{target}"')
    if os.path.normpath(target) in ("/", "//"):
        raise InvalidInput(f'invalid mount "{text}": the destination cannot be /')
    if os.path.normpath(target).split("/")[1] == "proc":
        raise InvalidInput(f'invalid mount "{text}": nothing can be mounted inside /proc', "choose another path in the container")


def _refuse(fields: Mapping[str, str], keys: Sequence[str], kind: str, text: str) -> None:
    for key in keys:
        if key in fields:
            raise InvalidInput(f"a mount of type {kind} takes no {key}: {text}")


def _is_true(value: str | None, text: str) -> bool:
    if value in (None, "false", "0"):
        return False
    if value in ("true", "1"):
        return True
    raise InvalidInput(f'invalid value "{value}" for readonly in the mount {text}', "give true or false")


def _size(value: str, text: str) -> int:
    number = value.rstrip("bBkKmMgG")
    unit = value[len(number) :].lower()
    unit = unit[:1] if unit in ("kb", "mb", "gb") else unit
    if not number.isdecimal() or unit not in _UNITS:
        raise InvalidInput(f'invalid tmpfs-size "{value}" in the mount {text}', "give bytes, or a number with k, m or g")
    return int(number) * _UNITS[unit]
