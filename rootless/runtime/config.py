"""Reading an OCI bundle's config.json: its shape, then what the specification's words demand beyond it.

What a value means for this node (a sysctl of the host's, a device that is not there) is found where it is applied. An error names
the property: `config.json: process.rlimits[0].type: must be one of …`.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput
from rootless.linux import capabilities
from rootless.runtime.config_schema import CAPABILITY_SETS, CONFIG, PROCESS
from rootless.runtime.config_shape import Malformed, Shape, shown

FILE: Final = "config.json"
_MAX_SIZE: Final = 16 << 20  # bytes; a config with every property is some kilobytes
_MAX_WINDOW: Final = (1 << 16) - 1  # struct winsize


class Config(NamedTuple):
    """A bundle's config: paths are absolute, and properties that were null are gone."""

    document: dict[str, Any]
    warnings: tuple[str, ...]  # of values that the specification has ignored, with a warning


def read(bundle: str, name: str = FILE) -> Config:
    """Return the config of the bundle in a folder. Raises `InvalidInput`."""
    folder = os.path.abspath(bundle)
    document = check(_load(os.path.join(folder, name), name), name)
    if "root" in document:
        document["root"]["path"] = os.path.normpath(os.path.join(folder, document["root"]["path"]))
    for mount in document["mounts"]:
        # A destination without the slash is deprecated, and relative to the root all the same.
        mount["destination"] = os.path.join("/", mount["destination"])
        if mount.get("type") in (None, "bind", "none") and mount.get("source"):
            mount["source"] = os.path.join(folder, mount["source"])
    return Config(document, tuple(warnings_of(document.get("process") or {})))


def check(value: object, name: str = FILE) -> dict[str, Any]:
    """Return a config as `Config.document` has it, but for relative paths. Raises `InvalidInput`."""
    document = _apply(CONFIG, value, name)
    document.setdefault("mounts", [])
    document.setdefault("linux", {}).setdefault("namespaces", [])
    try:
        _check_version(document["ociVersion"])
        if "process" in document:
            _check_process(document["process"], "process")
        _check_namespaces(document)
        _check_linux(document["linux"])
    except Malformed as error:
        raise InvalidInput(f"{name}: {error}") from None
    return document


def read_process(path: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the OCI process in a file, as `exec --process` takes it, and the warnings. Raises `InvalidInput`."""
    name = os.path.basename(path)
    process = _apply(PROCESS, _load(path, name), name)
    try:
        _check_process(process, "")
    except Malformed as error:
        raise InvalidInput(f"{name}: {error}") from None
    return process, tuple(warning.removeprefix("process.") for warning in warnings_of(process))


def _load(path: str, name: str) -> Any:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", "a bundle is a folder with config.json and a root") from None
    if len(content) > _MAX_SIZE:
        raise InvalidInput(f"{name}: is larger than {_MAX_SIZE >> 20} MiB")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, or not UTF-8
        raise InvalidInput(f"{name}: is not JSON: {error}") from None


def _apply(shape: Shape, value: object, name: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = shape(value, "")
    except Malformed as error:
        raise InvalidInput(f"{name}: {error}") from None
    return result


def _check_version(version: str) -> None:
    """Refuse what no version 1 runtime can know (semver.org, rule 8)."""
    numbers = version.partition("-")[0].partition("+")[0].split(".")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        raise Malformed("ociVersion", f"must be a version such as 1.1.0, not {shown(version)}")
    if int(numbers[0]) > 1:
        raise Malformed("ociVersion", f"version {version} is not supported: 1.x is")


def _check_process(process: dict[str, Any], place: str) -> None:
    prefix = f"{place}." if place else ""
    process.setdefault("args", [])
    process.setdefault("env", [])
    user = process.setdefault("user", {})
    user.setdefault("uid", 0)
    user.setdefault("gid", 0)
    if not process["args"]:
        raise Malformed(f"{prefix}args", "must hold a command")
    _refuse_doubles(process.get("rlimits", ()), "type", f"{prefix}rlimits")
    size = process.get("consoleSize")
    if size and process.get("terminal") and max(size.values()) > _MAX_WINDOW:
        raise Malformed(f"{prefix}consoleSize", f"must be at most {_MAX_WINDOW} each way")
    priority = process.get("ioPriority", {}).get("priority", 0)
    if not 0 <= priority <= 7:
        raise Malformed(f"{prefix}ioPriority.priority", f"must be 0 to 7, not {priority}")


def _check_namespaces(document: Mapping[str, Any]) -> None:
    linux = document["linux"]
    _refuse_doubles(linux["namespaces"], "type", "linux.namespaces")
    types = {entry["type"] for entry in linux["namespaces"]}
    needs = [
        ("hostname", document.get("hostname"), "uts"),
        ("domainname", document.get("domainname"), "uts"),
        ("linux.timeOffsets", linux.get("timeOffsets"), "time"),
        ("linux.uidMappings", linux.get("uidMappings"), "user"),
        ("linux.gidMappings", linux.get("gidMappings"), "user"),
    ]
    for place, value, kind in needs:
        if value and kind not in types:
            raise Malformed(place, f"needs a namespace of type {kind} in linux.namespaces")


def _check_linux(linux: Mapping[str, Any]) -> None:
    if linux.get("personality", {}).get("flags"):
        raise Malformed("linux.personality.flags", "no flags are defined")
    for index, device in enumerate(linux.get("devices", ())):
        if device["type"] != "p" and not {"major", "minor"} <= device.keys():
            raise Malformed(f"linux.devices[{index}]", "a device of type c, u or b needs major and minor")
    seccomp = linux.get("seccomp")
    if seccomp:
        _check_seccomp(seccomp)


def _check_seccomp(seccomp: Mapping[str, Any]) -> None:
    place = "linux.seccomp"
    if "listenerMetadata" in seccomp and "listenerPath" not in seccomp:
        raise Malformed(f"{place}.listenerMetadata", "needs listenerPath")
    _check_errno(seccomp["defaultAction"], seccomp.get("defaultErrnoRet"), f"{place}.defaultErrnoRet")
    for index, rule in enumerate(seccomp.get("syscalls", ())):
        _check_errno(rule["action"], rule.get("errnoRet"), f"{place}.syscalls[{index}].errnoRet")
        if rule["action"] == "SCMP_ACT_NOTIFY" and "listenerPath" not in seccomp:
            raise Malformed(f"{place}.listenerPath", "is missing: there is a rule with SCMP_ACT_NOTIFY")


def _check_errno(action: str, value: int | None, place: str) -> None:
    if value is not None and action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        raise Malformed(place, f"goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, not with {action}")


def _refuse_doubles(entries: Any, key: str, place: str) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry[key] in seen:
            raise Malformed(f"{place}[{index}].{key}", f"{entry[key]} is there twice")
        seen.add(entry[key])


def warnings_of(process: Mapping[str, Any]) -> list[str]:
    """Return a warning for each capability that the kernel does not know, and so cannot be granted (config.md, "capabilities")."""
    sets = process.get("capabilities") or {}
    named = {name for one in CAPABILITY_SETS for name in sets.get(one, ())}
    known = set(capabilities.NAMES[: capabilities.last_capability() + 1]) if named else set()
    return [f"process.capabilities: {shown(name)} is not a capability of this kernel: ignored" for name in sorted(named - known)]
