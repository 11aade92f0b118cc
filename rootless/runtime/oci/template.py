"""The config.json that `rl oci spec` writes: the engine's own defaults, for a shell in the bundle's `rootfs`."""

from typing import Any, Final

from rootless.runtime import seccomp
from rootless.runtime.default_spec import default_spec
from rootless.runtime.search_path import DEFAULT_PATH
from rootless.runtime.security import container_capabilities, oci_capabilities
from rootless.runtime.sharing import Sharing

_HOSTNAME: Final = "rl"
_OPEN_FILES: Final = 1024


def template(uid: int, gid: int, *, rootless: bool) -> dict[str, Any]:
    """Return the config; `rootless`: for the user `uid` and `gid`, whose one ID is mapped and who shares the node's network.

    Without that, real root gets no user namespace, as with runc, and a user the map of `rl run`.
    """
    names = tuple(container_capabilities())
    spec = default_spec(
        args=["sh"],
        env=[DEFAULT_PATH, "TERM=xterm"],
        cwd="/",
        hostname=_HOSTNAME,
        root="rootfs",
        terminal=True,
        read_only=True,
        sharing=Sharing(frozenset({"network"} if rootless else ())),
        keep_groups=False,
        mounts=[],
    )
    spec["process"]["capabilities"] = oci_capabilities(names, 0)
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": _OPEN_FILES, "hard": _OPEN_FILES}]
    spec["linux"]["seccomp"] = seccomp.oci_seccomp(seccomp.default_profile(), names, seccomp.Platform.of_this_node())
    if rootless:
        spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        spec["linux"]["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
        for mount in spec["mounts"]:
            mount["options"] = [option for option in mount["options"] if not option.startswith("gid=")]
    elif uid == 0:
        spec["linux"]["namespaces"] = [entry for entry in spec["linux"]["namespaces"] if entry["type"] != "user"]
    return spec
