"""What this runtime can do, as the specification's features document says it (runtime-spec: features.md, features-linux.md)."""

from typing import Any

from rootless.linux import capabilities, namespaces
from rootless.linux import seccomp as kernel_seccomp
from rootless.runtime import seccomp, seccomp_compiler
from rootless.runtime.default_spec import OCI_VERSION
from rootless.runtime.mount_flags import KNOWN

_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def features() -> dict[str, Any]:
    """Return the features document, from the tables that the runtime itself goes by."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(_HOOKS),
        "mountOptions": sorted(KNOWN),
        "linux": {
            "namespaces": sorted(namespaces.OCI_NAMES),
            "capabilities": list(capabilities.NAMES[: capabilities.last_capability() + 1]),
            "cgroup": {"v1": False, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp_compiler.ACTIONS),
                "operators": sorted(seccomp_compiler.OPERATORS),
                "archs": sorted(seccomp_compiler.TOKENS),
                "knownFlags": sorted(seccomp.FILTER_FLAGS),
                "supportedFlags": sorted(seccomp.FILTER_FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": False},
        },
        "annotations": {"io.github.seccomp.libseccomp.version": kernel_seccomp.library_version()},
    }
