"""What a config says of CPU, I/O and memory scheduling (config.md "Scheduler", "I/O Priority"; config-linux.md "Memory policy").

Each is set by the process itself, as its user namespace's root; but the kernel asks for power over the node to raise anything.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from rootless.errors import InvalidInput, RlError
from rootless.linux import scheduling as kernel


def set_scheduler(value: Mapping[str, Any]) -> None:
    """Set `process.scheduler`."""
    policy = value["policy"]
    flags = sum(kernel.FLAGS[name] for name in set(value.get("flags") or ()))
    times = [value.get(name, 0) for name in ("runtime", "deadline", "period")]
    numbers = (value.get("nice", 0), value.get("priority", 0), *times)
    _explain(
        "process.scheduler",
        policy,
        lambda: kernel.set_scheduler(kernel.POLICIES[policy], flags, *numbers),
        "a user may not raise a priority beyond RLIMIT_NICE and RLIMIT_RTPRIO, nor use SCHED_DEADLINE",
    )


def set_io_priority(value: Mapping[str, Any]) -> None:
    """Set `process.ioPriority`."""
    _explain(
        "process.ioPriority",
        value["class"],
        lambda: kernel.set_io_priority(kernel.IO_CLASSES[value["class"]], value.get("priority", 0)),
        "a user may not use IOPRIO_CLASS_RT",
    )


def set_memory_policy(value: Mapping[str, Any]) -> None:
    """Set `linux.memoryPolicy`."""
    mode = value.get("mode", "MPOL_DEFAULT")
    flags = sum(kernel.MEMORY_POLICY_FLAGS[name] for name in set(value.get("flags") or ()))
    nodes = number_list(value.get("nodes") or "", "linux.memoryPolicy.nodes")
    _explain(
        "linux.memoryPolicy",
        f"{mode} {value.get('nodes', '')}".strip(),
        lambda: kernel.set_memory_policy(kernel.MEMORY_POLICIES[mode] | flags, nodes),
        "the kernel knows no such policy, or the node has no such NUMA nodes",
    )


def set_affinity(text: str, place: str) -> None:
    """Let the calling process run on the CPUs of a list only."""
    cpus = number_list(text, place)
    if cpus:
        _explain(place, text, lambda: os.sched_setaffinity(0, cpus), "the node, or our cpuset, has none of these CPUs")


def number_list(text: str, place: str) -> set[int]:
    """Return the numbers of a list such as `0-3,7`. Raises `InvalidInput`."""
    numbers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < 1 << 16):
            raise InvalidInput(f"config.json: {place}: must be a list such as 0-3,7, not {text!r}")
        numbers.update(range(int(first), int(last) + 1))
    return numbers


def _explain(place: str, what: str, call: Callable[[], None], hint: str) -> None:
    try:
        call()
    except OSError as error:
        raise RlError(f"config.json: {place}: {what}: {os.strerror(error.errno or 0)}", hint) from None
    except OverflowError:
        raise InvalidInput(f"config.json: {place}: {what}: a number is out of range") from None
