"""Reading a bundle: config.json (runtime-spec: bundle.md, config.md), checked for what everything after relies on."""

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput
from rootless.linux import namespaces
from rootless.runtime.default_spec import OCI_VERSION

CONFIG: Final = "config.json"


class Bundle(NamedTuple):
    """A bundle's folder, its config, and the root file system as an absolute path without symbolic links."""

    folder: str
    spec: dict[str, Any]
    root: str


def read(folder: str, config: str = CONFIG) -> Bundle:
    """Read and check a bundle. Raises `InvalidInput` that names the property."""
    folder = os.path.realpath(folder)
    path = os.path.join(folder, config)
    spec = read_json(path)
    _check_version(spec, path)
    root = spec.get("root")
    _require(isinstance(root, dict) and isinstance(root.get("path"), str), path, "root.path is required")
    rootfs = os.path.realpath(os.path.join(folder, spec["root"]["path"]))
    if not os.path.isdir(rootfs):
        raise InvalidInput(f"the bundle's root file system does not exist: {rootfs}", f"see root.path in {path}")
    _check_process(spec, path)
    _check_mounts(spec, path)
    linux = spec["linux"] = spec.get("linux") or {}
    _require(isinstance(linux, dict), path, "linux must be an object")
    _check_namespaces(spec, path)
    _check_hooks(spec, path)
    return Bundle(folder, spec, rootfs)


def read_json(path: str) -> dict[str, Any]:
    """Read a JSON object that a user wrote. Raises `InvalidInput`."""
    try:
        with open(path, "rb") as file:
            value = json.load(file)
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    _require(isinstance(value, dict), path, "it must be an object")
    return value  # type: ignore[no-any-return]  # checked by hand


def _require(holds: bool, path: str, what: str) -> None:
    if not holds:
        raise InvalidInput(f"invalid {path}: {what}")


def _check_version(spec: Mapping[str, Any], path: str) -> None:
    version = spec.get("ociVersion")
    _require(isinstance(version, str), path, "ociVersion is required")
    if str(version).partition(".")[0] != OCI_VERSION.partition(".")[0]:
        raise InvalidInput(f"invalid {path}: ociVersion {version} is not supported", f"this runtime knows {OCI_VERSION}")


def _check_process(spec: Mapping[str, Any], path: str) -> None:
    process = spec.get("process")
    _require(isinstance(process, dict), path, "process is required")
    check_process(spec["process"], path)


def check_process(process: dict[str, Any], path: str) -> None:
    """Check an OCI process, and put in what may be left out."""
    arguments = process.get("args")
    is_list = isinstance(arguments, list) and all(isinstance(one, str) for one in arguments)
    _require(is_list and bool(arguments), path, "process.args is required, a list of strings that is not empty")
    cwd = process.get("cwd")
    _require(isinstance(cwd, str) and cwd.startswith("/"), path, "process.cwd is required, an absolute path")
    process["env"] = process.get("env") or []
    user = process["user"] = process.get("user") or {}
    user.setdefault("uid", 0)
    user.setdefault("gid", 0)


def _check_mounts(spec: Mapping[str, Any], path: str) -> None:
    for mount in spec.get("mounts") or ():
        _require(isinstance(mount, dict) and isinstance(mount.get("destination"), str), path, "a mount needs a destination")


def _check_namespaces(spec: Mapping[str, Any], path: str) -> None:
    seen = set()
    for entry in spec["linux"].get("namespaces") or ():
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind not in namespaces.OCI_NAMES:
            raise InvalidInput(f"invalid {path}: unknown namespace type {kind!r}", f"known are {', '.join(namespaces.OCI_NAMES)}")
        _require(kind not in seen, path, f"there are two {kind} namespaces")
        seen.add(kind)
    if "mount" not in seen:
        raise InvalidInput(f"invalid {path}: a container needs a mount namespace", 'add {"type": "mount"} to linux.namespaces')
    for key in ("uidMappings", "gidMappings"):
        if spec["linux"].get(key) and "user" not in seen:
            raise InvalidInput(f"invalid {path}: linux.{key} without a user namespace", 'add {"type": "user"} to linux.namespaces')
    if os.geteuid() != 0 and "user" not in seen:
        raise InvalidInput(
            f"invalid {path}: only root can make a container without a user namespace",
            'add {"type": "user"} to linux.namespaces, with uidMappings and gidMappings; rl oci spec --rootless shows one',
        )


def _check_hooks(spec: Mapping[str, Any], path: str) -> None:
    for point, hooks in (spec.get("hooks") or {}).items():
        for hook in hooks or ():
            given = hook.get("path") if isinstance(hook, dict) else None
            _require(isinstance(given, str) and given.startswith("/"), path, f"hooks.{point} needs absolute paths")
            timeout = hook.get("timeout")
            valid = timeout is None or (isinstance(timeout, int) and timeout > 0)
            _require(valid, path, f"the timeout of a hook in hooks.{point} must be greater than zero")
