"""Docker's and Podman's long syntax of mounts: `--mount type=bind|volume|tmpfs|image|devpts,KEY=VALUE,…`."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from rootless.containers.mount_request import (
    BIND,
    DEVPTS,
    IMAGE,
    PROPAGATIONS,
    TMPFS,
    TMPFS_DEFAULTS,
    VOLUME,
    MountRequest,
    check_target,
    parse_size,
)
from rootless.errors import InvalidInput

_SYNONYMS: Final = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "chown": "U",
    "nocopy": "volume-nocopy",
    "subpath": "",  # by the type: see `_canonical`
}
_COMMON: Final = frozenset({"type", "source", "target", "readonly", "rw", "consistency", "relabel", "idmap"})
_BY_TYPE: Final = {
    BIND: frozenset({"bind-propagation", "bind-nonrecursive", "bind-recursive", "bind-create-src", "U"}),
    VOLUME: frozenset({"volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath", "U"}),
    TMPFS: frozenset({"tmpfs-size", "tmpfs-mode", "notmpcopyup"}),
    IMAGE: frozenset({"image-subpath"}),
    DEVPTS: frozenset({"uid", "gid", "mode", "max"}),
}
_FLAGS: Final = frozenset(
    {"readonly", "rw", "U", "idmap", "bind-nonrecursive", "bind-create-src", "volume-nocopy", "notmpcopyup"}
)
_REPEATED: Final = frozenset({"volume-label", "volume-opt"})
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_RECURSIONS: Final = ("enabled", "disabled", "writable", "readonly")


def parse_mount(text: str, cwd: str) -> MountRequest:
    """Return what one `--mount` asks for. Raises `InvalidInput` with Docker's words."""
    fields = _fields(text)
    kind = str(fields.get("type", VOLUME))
    if kind not in _BY_TYPE:
        raise _invalid(text, f'mount type unknown: "{kind}"', f"choose one of {', '.join(_BY_TYPE)}")
    fields = {_canonical(key, kind): value for key, value in fields.items()}
    for key in fields:
        if key not in _COMMON | _BY_TYPE[kind]:
            raise _mixed(key, kind, text)
    if fields.get("idmap"):
        raise _invalid(text, "idmap needs an administrator's mount", "use U=true, which gives the files to the container's user")
    if "target" not in fields:
        raise _invalid(text, "target is required", "add target=/path/in/container")
    try:
        target = check_target(str(fields["target"]))
        return _PARSERS[kind](fields, target, cwd)
    except InvalidInput as error:
        raise _invalid(text, f'invalid mount config for type "{kind}": {error.message}', error.hint) from None


def _fields(text: str) -> dict[str, Any]:
    """Return the values by key: text, or for flags a bool, or for what may be repeated a list."""
    fields: dict[str, Any] = {}
    for part in _split(text):
        name, separator, value = part.partition("=")
        key = name.strip()
        known = _SYNONYMS.get(key, key)
        if known and not any(known in keys for keys in (_COMMON, *_BY_TYPE.values())):
            raise _invalid(text, f"unexpected key '{key}' in '{part}'")
        known = known or key
        if known in _FLAGS:
            if separator and value not in _BOOLEANS:
                raise _invalid(text, f"invalid value for {key}: {value}", "give true or false")
            fields[known] = _BOOLEANS[value] if separator else True
        elif not separator:
            raise _invalid(text, f"invalid field '{part}' must be a key=value pair")
        elif known in _REPEATED:
            fields.setdefault(known, []).append(value)
        else:
            fields[known] = value
    return fields


def _split(text: str) -> list[str]:
    """Split at commas; a field in double quotes may hold some, as in Go's csv."""
    if '"' not in text:
        return text.split(",")
    import csv  # only for quotes

    return next(csv.reader([text]), [])


def _canonical(key: str, kind: str) -> str:
    """Return Docker's key for Podman's, which mean something else by type."""
    if key == "subpath":
        return "image-subpath" if kind == IMAGE else "volume-subpath"
    return key


def _bind(fields: Mapping[str, Any], target: str, cwd: str) -> MountRequest:
    source = fields.get("source")
    if not source:
        raise InvalidInput("field Source must not be empty", "add source=/path/on/node")
    path = os.path.normpath(os.path.join(cwd, os.path.expanduser(source)))
    propagation = fields.get("bind-propagation", "")
    if propagation and propagation not in PROPAGATIONS:
        raise InvalidInput(f"invalid propagation: {propagation}", f"known are {', '.join(PROPAGATIONS)}")
    recursion = fields.get("bind-recursive", "disabled" if fields.get("bind-nonrecursive") else "enabled")
    if recursion not in _RECURSIONS:
        raise InvalidInput(f"invalid value for bind-recursive: {recursion}", f"known are {', '.join(_RECURSIONS)}")
    read_only = _is_read_only(fields)
    if recursion in {"writable", "readonly"} and not read_only:
        raise InvalidInput(f"option 'bind-recursive={recursion}' requires 'readonly' to be specified in conjunction")
    if recursion == "readonly" and propagation != "rprivate":
        raise InvalidInput("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
    access = (["ro", "rro"] if recursion in {"enabled", "readonly"} else ["ro"]) if read_only else []
    document: dict[str, Any] = {"Type": BIND, "Source": path, "Target": target, **_read_only_field(read_only)}
    options = {
        **({"Propagation": propagation} if propagation else {}),
        **({"NonRecursive": True} if recursion == "disabled" else {}),
        **({"CreateMountpoint": True} if fields.get("bind-create-src") else {}),
        **({"ReadOnlyNonRecursive": True} if recursion == "writable" else {}),
        **({"ReadOnlyForceRecursive": True} if recursion == "readonly" else {}),
    }
    if options:
        document["BindOptions"] = options
    return MountRequest(
        BIND,
        path,
        target,
        ("bind" if recursion == "disabled" else "rbind", *([propagation] if propagation else []), *access),
        read_only,
        document=document,
        makes_source=bool(fields.get("bind-create-src")),
        changes_owner=bool(fields.get("U")),
    )


def _volume(fields: Mapping[str, Any], target: str, _cwd: str) -> MountRequest:
    source, read_only = fields.get("source", ""), _is_read_only(fields)
    driver = fields.get("volume-driver", "local")
    if driver not in {"", "local"}:
        raise InvalidInput(f"there is no volume driver {driver!r}: plugins need a daemon", "use the driver `local`")
    labels = tuple(_pair(one) for one in fields.get("volume-label", ()))
    driver_options = tuple(_pair(one) for one in fields.get("volume-opt", ()))
    subpath = _subpath(fields.get("volume-subpath", ""))
    options = {
        **({"NoCopy": True} if fields.get("volume-nocopy") else {}),
        **({"Labels": dict(labels)} if labels else {}),
        **({"Subpath": subpath} if subpath else {}),
        **({"DriverConfig": {"Name": "local", "Options": dict(driver_options)}} if driver_options else {}),
    }
    document = {"Type": VOLUME, **({"Source": source} if source else {}), "Target": target, **_read_only_field(read_only)}
    if options:
        document["VolumeOptions"] = options
    return MountRequest(
        VOLUME,
        source,
        target,
        ("rbind", *(["ro", "rro"] if read_only else [])),
        read_only,
        document=document,
        copies_up=not fields.get("volume-nocopy"),
        changes_owner=bool(fields.get("U")),
        subpath=subpath,
        labels=labels,
        driver_options=driver_options,
    )


def _tmpfs(fields: Mapping[str, Any], target: str, _cwd: str) -> MountRequest:
    if fields.get("source"):
        raise InvalidInput("field Source must not be specified")
    size, mode, read_only = fields.get("tmpfs-size"), fields.get("tmpfs-mode"), _is_read_only(fields)
    document: dict[str, Any] = {"Type": TMPFS, "Target": target, **_read_only_field(read_only)}
    options = list(TMPFS_DEFAULTS)
    if size is not None:
        document.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_size(size, "tmpfs-size")
        options.append(f"size={parse_size(size, 'tmpfs-size')}")
    if mode is not None:
        if not mode or set(mode) - set("01234567") or int(mode, 8) > 0o7777:
            raise InvalidInput(f"invalid value for tmpfs-mode: {mode}", "give it in octal, for example 1777")
        document.setdefault("TmpfsOptions", {})["Mode"] = int(mode, 8)
        options.append(f"mode={mode}")
    return MountRequest(TMPFS, "", target, (*options, *(["ro"] if read_only else [])), read_only, document=document)


def _image(fields: Mapping[str, Any], target: str, _cwd: str) -> MountRequest:
    source = fields.get("source")
    if not source:
        raise InvalidInput("field Source must not be empty", "add source=NAME of an image")
    subpath, read_only = _subpath(fields.get("image-subpath", "")), not fields.get("rw")
    document = {"Type": IMAGE, "Source": source, "Target": target, **_read_only_field(read_only)}
    if subpath:
        document["ImageOptions"] = {"Subpath": subpath}
    return MountRequest(
        IMAGE, source, target, ("rbind", *(["ro", "rro"] if read_only else [])), read_only, document=document, subpath=subpath
    )


def _devpts(fields: Mapping[str, Any], target: str, _cwd: str) -> MountRequest:
    options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666"]
    for key, base, default in (("mode", 8, "0620"), ("uid", 10, None), ("gid", 10, "5"), ("max", 10, None)):
        value = fields.get(key, default)
        if value is None:
            continue
        if set(value) - set("0123456789"[:base]) or not value:
            raise InvalidInput(f"invalid value for {key}: {value}")
        options.append(f"{key}={value}")
    if _is_read_only(fields):
        options.append("ro")
    return MountRequest(DEVPTS, "", target, tuple(options), document={"Type": DEVPTS, "Target": target})


_PARSERS: Final[dict[str, Callable[[Mapping[str, Any], str, str], MountRequest]]] = {
    BIND: _bind,
    VOLUME: _volume,
    TMPFS: _tmpfs,
    IMAGE: _image,
    DEVPTS: _devpts,
}


def _is_read_only(fields: Mapping[str, Any]) -> bool:
    return bool(fields.get("readonly", "rw" in fields and not fields["rw"]))


def _read_only_field(read_only: bool) -> dict[str, bool]:
    return {"ReadOnly": True} if read_only else {}


def _subpath(text: str) -> str:
    """Check a path within a volume or image; what it leads to is looked at when it is mounted."""
    if text.startswith("/") or ".." in text.split("/") or "\0" in text:
        raise InvalidInput(f"invalid subpath: {text!r} must be a relative path that does not lead out", "for example data/db")
    return "" if not text else os.path.normpath(text)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _mixed(key: str, kind: str, text: str) -> InvalidInput:
    prefix = next((f"{other}-*" for other in _BY_TYPE if key.startswith(f"{other}-")), key)
    return _invalid(text, f"cannot mix '{prefix}' options with mount type '{kind}'")


def _invalid(text: str, reason: str, hint: str | None = "mounts look like: type=bind,src=/on,dst=/in") -> InvalidInput:
    return InvalidInput(f'invalid argument "{text}" for "--mount" flag: {reason}', hint)
