"""What few containers have in their record, put into the OCI config and the process: security, devices, limits, sysctls.

Loaded only for a container that has any of it (`bundle.has_rare_options`); everything is read from HostConfig and Config.
"""

import json
from typing import Any, Final

from rootless.containers.device_options import mounts_of, mounts_of_all
from rootless.containers.documents import Document
from rootless.containers.kernel_options import rlimits
from rootless.containers.process_options import LOCAL_TIME, zone_file
from rootless.containers.security_options import NO_NEW_PRIVILEGES, UNCONFINED, value_of
from rootless.errors import InvalidInput
from rootless.locations import Locations
from rootless.runtime import seccomp
from rootless.runtime.process import SeccompFilter
from rootless.runtime.security import container_capabilities

_BUILTIN: Final = "builtin"
# Mounts of which a privileged container may write what the user may.
_KERNEL_FOLDERS: Final = ("/sys", "/sys/fs/cgroup")


def put_into(spec: dict[str, Any], document: Document) -> None:
    """Put what the record asks for into a default config. Raises `InvalidInput` for a device that is not there."""
    host_config, linux = document["HostConfig"], spec["linux"]
    spec["process"] = {**spec["process"], **process_of(document)}
    for key, name in (("MaskedPaths", "maskedPaths"), ("ReadonlyPaths", "readonlyPaths")):
        if host_config.get(key) is not None:
            linux[name] = host_config[key]
    if host_config.get("Sysctls"):
        linux["sysctl"] = host_config["Sysctls"]
    if document["Config"].get("Domainname"):
        spec["domainname"] = document["Config"]["Domainname"]
    if host_config.get("Privileged"):
        spec["mounts"] = [_writable(mount) if mount["destination"] in _KERNEL_FOLDERS else mount for mount in spec["mounts"]]
    taken = {mount["destination"] for mount in spec["mounts"]}
    timezone = document["Config"].get("Timezone")
    if timezone and LOCAL_TIME not in taken:
        options = ["bind", "ro", "nosuid", "nodev", "noexec"]
        spec["mounts"].append({"destination": LOCAL_TIME, "type": "bind", "source": zone_file(timezone), "options": options})
    devices = mounts_of(host_config.get("Devices") or ())
    if host_config.get("Privileged"):
        taken |= {mount["destination"] for mount in devices}
        devices = [*(mount for mount in mounts_of_all() if mount["destination"] not in taken), *devices]
    spec["mounts"] = [*spec["mounts"], *devices]


def _writable(mount: dict[str, Any]) -> dict[str, Any]:
    return {**mount, "options": [option for option in mount["options"] if option not in ("ro", "rro")]}


def process_of(document: Document) -> dict[str, Any]:
    """Return what every process of the container has, as fields of an OCI process."""
    host_config = document["HostConfig"]
    security = host_config.get("SecurityOpt") or ()
    fields: dict[str, Any] = {"noNewPrivileges": NO_NEW_PRIVILEGES in security}
    profile = value_of(security, "apparmor")
    if profile is not None:
        fields["apparmorProfile"] = profile
    if host_config.get("Ulimits"):
        fields["rlimits"] = rlimits(host_config["Ulimits"])
    if host_config.get("OomScoreAdj"):
        fields["oomScoreAdj"] = host_config["OomScoreAdj"]
    if document["Config"].get("Umask"):
        fields["user"] = {"uid": 0, "gid": 0, "umask": int(document["Config"]["Umask"], 8)}
    return fields


def capability_names(document: Document) -> tuple[str, ...]:
    """Return the capabilities that the container's processes may have."""
    host_config = document["HostConfig"]
    add, drop = host_config.get("CapAdd") or (), host_config.get("CapDrop") or ()
    return tuple(container_capabilities(add, drop, privileged=bool(host_config.get("Privileged"))))


def load_filter(locations: Locations, document: Document, names: tuple[str, ...]) -> SeccompFilter | None:
    """Return the filter of the profile that the record asks for, compiled at most once a node; None for none."""
    platform, cache = seccomp.Platform.of_this_node(), f"{locations.data_root}/seccomp"
    if _profile(document) == _BUILTIN:
        return SeccompFilter(seccomp.load_default_program(cache, names, platform), seccomp.filter_flags({}))
    oci = seccomp_object(document, names)
    return SeccompFilter(seccomp.load_program(cache, oci, platform), seccomp.filter_flags(oci)) if oci is not None else None


def seccomp_object(document: Document, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the OCI `linux.seccomp` of the profile that the record asks for, None for none."""
    text = _profile(document)
    if text == UNCONFINED:
        return None
    try:
        profile = seccomp.default_profile() if text == _BUILTIN else json.loads(text)
    except ValueError:  # somebody has edited the record
        raise InvalidInput("the container's record has a seccomp profile that is not JSON", "make the container anew") from None
    return seccomp.oci_seccomp(profile, names, seccomp.Platform.of_this_node())


def _profile(document: Document) -> str:
    """Return what `--security-opt seccomp=` has left in the record, or the default."""
    default = UNCONFINED if document["HostConfig"].get("Privileged") else _BUILTIN
    return value_of(document["HostConfig"].get("SecurityOpt"), "seccomp") or default
