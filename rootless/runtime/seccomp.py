"""Seccomp: from Docker's profile format to OCI's, and from either to a BPF program, compiled once and then only read.

A profile in Docker's format has rules that hold only for some capabilities, architectures and kernels. `oci_seccomp` picks those
that hold here, which gives the runtime-spec's `linux.seccomp` object (config-linux.md, "Seccomp"). libseccomp compiles that object;
loading pyseccomp and compiling cost 100 ms and more, so programs are kept in a cache folder, one file for each set of inputs.
"""

import errno
import os
from _blake2 import blake2b  # not hashlib: that loads OpenSSL, 3 ms of every `rl run`
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput
from rootless.linux import seccomp as kernel

FORMAT: Final = 1
"""Part of every cache key: raise it when the compiler here makes other programs of the same input."""

PROFILE_PATH: Final = os.path.join(os.path.dirname(__file__), "seccomp_profile.json")


class Platform(NamedTuple):
    """What a profile's rules may depend on."""

    machine: str  # as uname -m
    release: str  # as uname -r

    @classmethod
    def of_this_node(cls) -> "Platform":
        """Return what uname(2) says."""
        names = os.uname()
        return cls(names.machine, names.release)


# uname -m -> (OCI's name, Docker's name in `includes` and `excludes`)
_ARCHITECTURES: Final = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "i686": ("SCMP_ARCH_X86", "x86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64", "loongarch64"),
    "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"),
    "s390x": ("SCMP_ARCH_S390X", "s390x"),
}

FILTER_FLAGS: Final = {
    "SECCOMP_FILTER_FLAG_TSYNC": kernel.FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": kernel.FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": kernel.FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": kernel.FILTER_FLAG_WAIT_KILLABLE_RECV,
}

_CACHE_UNUSABLE: Final = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)


def default_profile() -> dict[str, Any]:
    """Return Docker's default profile, in Docker's format."""
    import json  # needed on a cache miss and for config.json only

    with open(PROFILE_PATH, "rb") as file:
        profile: dict[str, Any] = json.load(file)
    return profile


def oci_seccomp(profile: Mapping[str, Any], capabilities: Collection[str], platform: Platform) -> dict[str, Any]:
    """Return the OCI `linux.seccomp` object that a Docker-format profile means for a container.

    `capabilities` is the container's bounding set. A profile that is in OCI's format already passes through unchanged but for
    rules that can never hold. Raises `InvalidInput` for a malformed one.
    """
    if "defaultAction" not in profile:
        raise InvalidInput("invalid seccomp profile: it has no defaultAction")
    oci: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    for optional in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
        if profile.get(optional) is not None:
            oci[optional] = profile[optional]
    architectures = _architectures(profile, platform)
    if architectures:
        oci["architectures"] = architectures
    rules = [_oci_rule(rule) for rule in profile.get("syscalls") or () if _holds(rule, capabilities, platform)]
    if rules:
        oci["syscalls"] = rules
    return oci


def _architectures(profile: Mapping[str, Any], platform: Platform) -> list[str]:
    """Return the architectures whose system calls are filtered: `architectures` as given, or this machine's of `archMap`."""
    if profile.get("architectures"):
        if profile.get("archMap"):
            raise InvalidInput("invalid seccomp profile: use either architectures or archMap")
        return list(profile["architectures"])
    native, _ = _ARCHITECTURES.get(platform.machine, ("", ""))
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return []


def _holds(rule: Mapping[str, Any], capabilities: Collection[str], platform: Platform) -> bool:
    """Tell whether a rule's `includes` all hold and none of its `excludes` does (moby, profiles/seccomp)."""
    _, architecture = _ARCHITECTURES.get(platform.machine, ("", ""))
    includes: Mapping[str, Any] = rule.get("includes") or {}
    excludes: Mapping[str, Any] = rule.get("excludes") or {}
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or ()):
        return False
    if includes.get("minKernel") and not _at_least(platform.release, includes["minKernel"]):
        return False
    if architecture in (excludes.get("arches") or ()):
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    return not (excludes.get("minKernel") and _at_least(platform.release, excludes["minKernel"]))


def _at_least(release: str, minimum: str) -> bool:
    """Compare the first two numbers of kernel releases: `6.1.0-18-amd64` is at least `4.8`."""
    return _version(release) >= _version(minimum)


def _version(release: str) -> tuple[int, int]:
    numbers = []
    for part in release.split(".")[:2]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            raise InvalidInput(f"invalid seccomp profile: {release!r} is not a kernel version")
        numbers.append(int(digits))
    return numbers[0], numbers[1] if len(numbers) > 1 else 0


def _oci_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rule without Docker's own fields; `name` is the older form of `names`."""
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else None)
    if not names or "action" not in rule:
        raise InvalidInput("invalid seccomp profile: a rule needs names and an action")
    oci: dict[str, Any] = {"names": list(names), "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        oci["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        oci["args"] = [{key: value for key, value in one.items() if value is not None} for one in rule["args"]]
    return oci


def filter_flags(oci: Mapping[str, Any]) -> int:
    """Return the flags for `rootless.linux.seccomp.install`: those named, or SPEC_ALLOW where `flags` is absent, as runc does.

    Raises `InvalidInput` for an unknown flag.
    """
    flags = 0
    for name in oci.get("flags", ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)):
        if name not in FILTER_FLAGS:
            raise InvalidInput(f"invalid seccomp profile: unknown flag {name}")
        flags |= FILTER_FLAGS[name]
    if any(rule["action"] == "SCMP_ACT_NOTIFY" for rule in oci.get("syscalls", ())):
        flags |= kernel.FILTER_FLAG_NEW_LISTENER
    return flags


def load_default_program(cache_folder: str, capabilities: Collection[str], platform: Platform) -> bytes:
    """Return the BPF program of Docker's default profile for a container with this bounding set. Errors as `load_program`."""
    with open(PROFILE_PATH, "rb") as file:
        content = file.read()
    key = _key(content, " ".join(sorted(capabilities)).encode(), platform)
    program = _read(cache_folder, key)
    return program or _compile_into(cache_folder, key, oci_seccomp(default_profile(), capabilities, platform), platform)


def load_program(cache_folder: str, oci: Mapping[str, Any], platform: Platform) -> bytes:
    """Return the BPF program of an OCI `linux.seccomp` object, from the cache or compiled into it.

    Raises `InvalidInput` for a malformed object, `NodeLacks` where it has to be compiled and libseccomp or pyseccomp is missing.
    """
    import json  # a caller with an OCI object has loaded it already

    key = _key(json.dumps(oci, sort_keys=True).encode(), b"", platform)
    return _read(cache_folder, key) or _compile_into(cache_folder, key, oci, platform)


def _key(content: bytes, capabilities: bytes, platform: Platform) -> str:
    """Return a file name that depends on everything that the program depends on."""
    digest = blake2b(digest_size=20)
    versions = f"{FORMAT} {kernel.library_version()} {platform.machine} {platform.release}".encode()
    for part in (versions, capabilities, content):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"{digest.hexdigest()}.bpf"


def _read(cache_folder: str, key: str) -> bytes | None:
    """Return a cached program, or None."""
    try:
        with open(f"{cache_folder}/{key}", "rb", buffering=0) as file:
            program: bytes = file.readall()
    except FileNotFoundError:
        return None
    return program if program and len(program) % kernel.INSTRUCTION_SIZE == 0 else None


def _compile_into(cache_folder: str, key: str, oci: Mapping[str, Any], platform: Platform) -> bytes:
    """Compile, and keep the program where the cache folder can be written: a full disk must not stop a container."""
    from rootless.runtime.seccomp_compiler import compile_program  # a cache miss only: libseccomp, 100 ms

    program = compile_program(oci, _ARCHITECTURES.get(platform.machine, ("", ""))[0])
    try:
        _write(cache_folder, key, program)
    except OSError as error:
        if error.errno not in _CACHE_UNUSABLE:
            raise
    return program


def _write(cache_folder: str, key: str, program: bytes) -> None:
    """Write a program under a temporary name, to disk, then rename: no reader ever sees half of it, a crash included."""
    os.makedirs(cache_folder, 0o700, exist_ok=True)
    temporary = f"{cache_folder}/.{key}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            file.write(program)
            os.fsync(descriptor)
        os.rename(temporary, f"{cache_folder}/{key}")
    except OSError:
        os.unlink(temporary)
        raise
