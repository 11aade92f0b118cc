"""What the options of security take: `--cap-add`, `--cap-drop`, `--privileged`, `--security-opt`; as HostConfig shows them.

A seccomp profile is read once, here, and kept in the record as Docker does: the container has it also when its file has changed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rootless.errors import InvalidInput, os_error_text
from rootless.linux.seccomp import FILTER_FLAG_NEW_LISTENER
from rootless.runtime import config, seccomp
from rootless.runtime.default_spec import OCI_VERSION
from rootless.runtime.security import READONLY_PATHS, container_capabilities, masked_paths, normalized_capabilities

NO_NEW_PRIVILEGES: Final = "no-new-privileges"
UNCONFINED: Final = "unconfined"
_KNOWN: Final = (
    "seccomp=FILE|unconfined|builtin, no-new-privileges, mask=, unmask=, systempaths=unconfined, apparmor=, label=disable"
)


def parse(add: Sequence[str], drop: Sequence[str], security: Sequence[str], *, privileged: bool, uid: int) -> dict[str, Any]:
    """Return the fields of HostConfig. `uid` is the user's own. Raises `InvalidInput`."""
    fields: dict[str, Any] = {"Privileged": privileged}
    names = container_capabilities(add, drop, privileged=privileged)  # also complains of unknown ones
    if add:
        fields["CapAdd"] = normalized_capabilities(add, "CapAdd")
    if drop:
        fields["CapDrop"] = normalized_capabilities(drop, "CapDrop")
    words: list[str] = []
    for text in security:
        words += _word(text, names)
    if words:
        fields["SecurityOpt"] = words
    fields |= _paths(words, privileged=privileged)
    if privileged or any(word.startswith("unmask=") or word == "systempaths=unconfined" for word in words):
        _refuse_root(uid, "--privileged" if privileged else "unmask")
    return fields


def value_of(words: Sequence[str] | None, key: str) -> str | None:
    """Return the value of a word such as `apparmor=NAME` in HostConfig.SecurityOpt; the last one counts."""
    return next((word[len(key) + 1 :] for word in reversed(words or ()) if word.startswith(f"{key}=")), None)


def _refuse_root(uid: int, option: str) -> None:
    """Refuse what would let the container's root write the node's settings, where it is the node's root."""
    if uid == 0:
        raise InvalidInput(
            f"{option}: you are root, and so the container's root could write the kernel's settings in /proc/sys",
            "run it as a normal user, or give --cap-add and --device for what is needed",
        )


def _word(text: str, names: Sequence[str]) -> list[str]:
    """Return what is kept of one `--security-opt`: nothing, or one word."""
    key, separator, value = text.partition("=")
    if not separator:  # Docker's older form
        key, separator, value = text.partition(":")
    parser = _PARSERS.get(key)
    if parser is None:
        raise InvalidInput(f"invalid --security-opt: {text!r}", f"known are {_KNOWN}")
    if not value and (separator or key != NO_NEW_PRIVILEGES):
        raise InvalidInput(f"invalid --security-opt: {text!r}", f"give {key} a value")
    return parser(value, names)


def _no_new_privileges(value: str, _names: Sequence[str]) -> list[str]:
    if value.lower() not in ("", "true", "1", "t", "false", "0", "f"):
        raise InvalidInput(f"invalid --security-opt: no-new-privileges={value}", "give true or false")
    return [NO_NEW_PRIVILEGES] if value.lower() in ("", "true", "1", "t") else []


def _apparmor(value: str, _names: Sequence[str]) -> list[str]:
    return [f"apparmor={value}"]


def _label(value: str, _names: Sequence[str]) -> list[str]:
    if value != "disable":
        raise InvalidInput(
            f"--security-opt label={value}: a user's containers have no SELinux label of their own",
            "leave it out, or give label=disable",
        )
    return ["label=disable"]


def _system_paths(value: str, _names: Sequence[str]) -> list[str]:
    if value != UNCONFINED:
        raise InvalidInput(f"invalid --security-opt: systempaths={value}", "systempaths takes unconfined only")
    return ["systempaths=unconfined"]


def _mask(value: str, _names: Sequence[str]) -> list[str]:
    _absolute("mask", value.split(":"))
    return [f"mask={value}"]


def _unmask(value: str, _names: Sequence[str]) -> list[str]:
    if value.upper() != "ALL":
        _absolute("unmask", value.split(":"))
    return [f"unmask={value}"]


def _absolute(key: str, paths: Sequence[str]) -> None:
    for path in paths:
        if not path.startswith("/"):
            raise InvalidInput(
                f"--security-opt {key}: {path!r} is no absolute path", "separate paths by colons: /proc/acpi:/sys/firmware"
            )


def _seccomp(value: str, names: Sequence[str]) -> list[str]:
    if value in (UNCONFINED, "builtin"):
        return [f"seccomp={value}"]
    try:
        with open(value, "rb") as file:
            profile = json.load(file)
    except OSError as error:
        raise InvalidInput(f"opening seccomp profile ({value}) failed: {os_error_text(error)}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"seccomp profile {value}: is not JSON: {error}") from None
    _check_shape(value, profile)
    oci = seccomp.oci_seccomp(profile, names, seccomp.Platform.of_this_node())
    config.check({"ociVersion": OCI_VERSION, "linux": {"seccomp": oci}}, value)
    if seccomp.filter_flags(oci) & FILTER_FLAG_NEW_LISTENER:
        raise InvalidInput(f"seccomp profile {value}: SCMP_ACT_NOTIFY needs an agent, and there is none", "use another action")
    return [f"seccomp={json.dumps(profile, separators=(',', ':'))}"]


def _check_shape(path: str, profile: object) -> None:
    """Raise `InvalidInput` for what is not of the types that Docker's format has; what is OCI's is checked once it is made."""
    rules = profile.get("syscalls") if isinstance(profile, dict) else [None]
    entries = profile.get("archMap") if isinstance(profile, dict) else ()
    good = isinstance(rules, list | None) and all(map(_is_rule, rules or ())) and isinstance(entries, list | None)
    if not good or not all(isinstance(entry, dict) and isinstance(entry.get("architecture"), str) for entry in entries or ()):
        raise InvalidInput(
            f"seccomp profile {path}: is not in Docker's format", "see https://docs.docker.com/engine/security/seccomp/"
        )


def _is_rule(rule: object) -> bool:
    if not isinstance(rule, dict) or not isinstance(rule.get("names") or [], list):
        return False
    conditions = (rule.get("includes") or {}, rule.get("excludes") or {})
    arguments = rule.get("args") or []
    return (
        isinstance(arguments, list)
        and all(isinstance(one, dict) for one in arguments)
        and all(isinstance(one, dict) and isinstance(one.get("minKernel") or "", str) for one in conditions)
        and all(isinstance(one.get(key) or [], list) for one in conditions for key in ("caps", "arches"))
    )


def _paths(words: Sequence[str], *, privileged: bool) -> dict[str, Any]:
    """Return the masked and read-only paths where they are not the default ones."""
    added = [path for word in words if word.startswith("mask=") for path in word[5:].split(":")]
    patterns = [path for word in words if word.startswith("unmask=") for path in word[7:].split(":")]
    if privileged or "systempaths=unconfined" in words or any(pattern.upper() == "ALL" for pattern in patterns):
        return {"MaskedPaths": added, "ReadonlyPaths": []}
    if not added and not patterns:
        return {}
    from fnmatch import fnmatchcase  # with a pattern only

    def kept(paths: Sequence[str]) -> list[str]:
        return [path for path in paths if not any(fnmatchcase(path, pattern.rstrip("/")) for pattern in patterns)]

    return {"MaskedPaths": list(dict.fromkeys([*kept(masked_paths()), *added])), "ReadonlyPaths": kept(READONLY_PATHS)}


_PARSERS: Final[Mapping[str, Callable[[str, Sequence[str]], list[str]]]] = {
    "apparmor": _apparmor,
    "label": _label,
    "mask": _mask,
    NO_NEW_PRIVILEGES: _no_new_privileges,
    "seccomp": _seccomp,
    "systempaths": _system_paths,
    "unmask": _unmask,
}
