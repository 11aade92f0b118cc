"""What Docker's profile says of each system call, read word by word: the model that compiled filters are compared with."""

import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

EPERM, ENOSYS = 1, 38
MASK_64 = (1 << 64) - 1

_HEADERS = {"x86_64": "unistd_64.h", "i386": "unistd_32.h"}
_FOLDERS = ("/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm")
# Newer than the headers; the same on both (include/uapi/asm-generic/unistd.h).
NEWER = {
    "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455, "futex_requeue": 456,

        "statmount": 457,
        "listmount": 458,
        "lsm_get_self_attr": 459,
        "lsm_set_self_attr": 460,
        "lsm_list_modules": 461,
        "mseal": 462
    ,
    "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466, "open_tree_attr": 467,
    "file_getattr": 468, "file_setattr": 469,
}
# uretprobe and uprobe: the kernel makes them whatever a filter says (Linux 6.14), and kills who calls them from elsewhere.
NEVER_FILTERED = {335, 336}
_COMPARE = {
    "SCMP_CMP_NE": lambda one, value, _two: one != value,
    "SCMP_CMP_LT": lambda one, value, _two: one < value,
    "SCMP_CMP_LE": lambda one, value, _two: one <= value,
    "SCMP_CMP_EQ": lambda one, value, _two: one == value,
    "SCMP_CMP_GE": lambda one, value, _two: one >= value,
    "SCMP_CMP_GT": lambda one, value, _two: one > value,
    "SCMP_CMP_MASKED_EQ": lambda one, value, two: one & value == two,
}


class Probe(NamedTuple):
    """A call to make, and the errno that the filter must answer with; 0: it lets the call through."""

    number: int
    arguments: tuple[int, ...]  # the first five
    answer: int


def numbers(machine: str) -> dict[str, int]:
    """Return the numbers of all system calls of an architecture by name, from the kernel's headers."""
    for folder in _FOLDERS:
        path = Path(folder, _HEADERS[machine])
        if path.exists():
            found = re.findall(r"#define __NR_(\w+) (\d+)", path.read_text())
            return {name: int(number) for name, number in found} | NEWER
    raise FileNotFoundError(_HEADERS[machine])


def rules_for(profile: dict[str, Any], capabilities: Collection[str]) -> list[dict[str, Any]]:
    """Return the rules that hold for a container on x86-64 with a kernel that has all."""
    found = []
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if "arches" in includes and "amd64" not in includes["arches"]:
            continue
        if "amd64" in excludes.get("arches", ()) or set(includes.get("caps", ())) - set(capabilities):
            continue
        if set(excludes.get("caps", ())) & set(capabilities):
            continue
        found.append(rule)
    return found


def probes(profile: dict[str, Any], capabilities: Collection[str], machine: str) -> Iterator[Probe]:
    """Yield calls of every number up to far beyond the last, with arguments on both sides of every condition."""
    rules = rules_for(profile, capabilities)
    names = {number: name for name, number in numbers(machine).items()}
    named = {name for rule in rules for name in rule["names"]}
    highest = max(number for number, name in names.items() if name in named)
    bits = MASK_64 if machine == "x86_64" else (1 << 32) - 1
    for number in range(highest + 40):
        own = [rule for rule in rules if names.get(number) in rule["names"]]
        for arguments in _arguments(own, bits):
            yield Probe(number, arguments, _answer(own, arguments, ENOSYS if number > highest else EPERM))


def _arguments(rules: list[dict[str, Any]], bits: int) -> Iterator[tuple[int, ...]]:
    interesting: list[set[int]] = [{0} for _ in range(5)]
    for rule in rules:
        for condition in rule.get("args") or ():
            value, two = condition["value"], condition.get("valueTwo") or 0
            interesting[condition["index"]] |= {
                one & bits for one in (value, value + 1, value - 1, two, ~value, value | two, 1 << 31)
            }
    yield from itertools.product(*(sorted(values) for values in interesting))


def _answer(rules: list[dict[str, Any]], arguments: tuple[int, ...], default: int) -> int:
    for rule in rules:
        if all(
            _COMPARE[one["op"]](arguments[one["index"]], one["value"], one.get("valueTwo") or 0) for one in rule.get("args") or ()
        ):
            if rule["action"] == "SCMP_ACT_ALLOW":
                return 0
            assert rule["action"] == "SCMP_ACT_ERRNO"
            return int(rule.get("errnoRet") or EPERM)
    return default
