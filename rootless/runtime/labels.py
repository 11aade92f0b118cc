"""process.apparmorProfile, process.selinuxLabel and linux.mountLabel (config.md, "Linux Process"), where the kernel has them.

A label is given to the stage's next execve(2); the fork that becomes the container's process inherits that. It is written through
the node's /proc, before any file of the image is near.
"""

import os
from typing import Final

from rootless.errors import NodeLacks, RlError

_APPARMOR_STATE: Final = "/sys/module/apparmor/parameters/enabled"
_SELINUX_STATE: Final = "/sys/fs/selinux/enforce"


def set_apparmor(profile: str) -> None:
    """Let the next program run under an AppArmor profile. Raises `NodeLacks` where the kernel has no AppArmor."""
    if profile in ("", "unconfined") and not _is_enabled(_APPARMOR_STATE):
        return
    if not _is_enabled(_APPARMOR_STATE):
        raise NodeLacks(
            f"config.json: process.apparmorProfile: {profile}: this kernel runs without AppArmor", "leave the property out here"
        )
    path = "/proc/self/attr/apparmor/exec"
    _write(path if os.path.exists(path) else "/proc/self/attr/exec", f"exec {profile}", "process.apparmorProfile", profile)


def set_selinux(label: str) -> None:
    """Let the next program run with an SELinux label. Raises `NodeLacks` where the kernel has no SELinux."""
    _require_selinux("process.selinuxLabel", label)
    _write("/proc/self/attr/exec", label, "process.selinuxLabel", label)


def refuse_mount_label(label: str) -> None:
    """Tell that a mount label cannot be given: without SELinux there are none, and with it a user may not give any."""
    _require_selinux("linux.mountLabel", label)
    raise NodeLacks(f"config.json: linux.mountLabel: {label}: a user may not label mounts", "leave the property out")


def _require_selinux(place: str, label: str) -> None:
    if not os.path.exists(_SELINUX_STATE):
        raise NodeLacks(f"config.json: {place}: {label}: this kernel runs without SELinux", "leave the property out here")


def _is_enabled(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(1) == b"Y"
    except FileNotFoundError:
        return False


def _write(path: str, text: str, place: str, label: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RlError(f"config.json: {place}: {label}: {os.strerror(error.errno or 0)}", "see whether the node knows it") from None
