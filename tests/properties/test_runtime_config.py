"""Whatever is in a config.json: it is either what the runtime can rely on, or refused with the place of what is wrong."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidInput
from rootless.runtime import config
from rootless.runtime.mount_flags import parse_options

VALID: dict[str, Any] = {
    "ociVersion": "1.1.0",
    "process": {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3]},
        "args": ["sh"],
        "env": ["A=b"],
        "cwd": "/",
        "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]},
        "rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 2}],
        "noNewPrivileges": True,
        "oomScoreAdj": 5,
        "scheduler": {"policy": "SCHED_OTHER", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3},
        "execCPUAffinity": {"initial": "0-1", "final": "1"},
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "h",
    "mounts": [{"destination": "/m", "type": "tmpfs", "source": "t", "options": ["ro"]}],
    "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 3}]},
    "annotations": {"a": "b"},
    "linux": {
        "namespaces": [{"type": "uts"}, {"type": "time"}, {"type": "user", "path": "/proc/1/ns/user"}],
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
        "devices": [{"type": "c", "path": "/dev/x", "major": 1, "minor": 2, "fileMode": 438, "uid": 0, "gid": 0}],
        "resources": {"memory": {"limit": 1}, "unified": {"a": "b"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 3}]},
        "rootfsPropagation": "slave",
        "sysctl": {"net.x": "1"},
        "maskedPaths": ["/proc/kcore"],
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}],
        },
        "timeOffsets": {"boottime": {"secs": 1, "nanosecs": 2}},
        "personality": {"domain": "LINUX"},
    },
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\0", "\ud800", "/", "1.0.0", "A="])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in entries:
        yield from places(one, (*above, name))


def with_change(place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    document = copy.deepcopy(VALID)
    where: Any = document
    for name in place[:-1]:
        where = where[name]
    where[place[-1]] = value
    return document


def check(document: Any) -> dict[str, Any] | None:
    """Return the checked config, or None for one that is refused in the right way."""
    try:
        return config.check(document)
    except InvalidInput as error:
        message = error.message
    assert message.startswith("config.json: ")
    return None


def test_the_example_is_valid() -> None:
    assert config.check(VALID) == VALID


@given(st.sampled_from(list(places(VALID))), anything)
def test_one_wrong_value(place: tuple[Any, ...], value: Any) -> None:
    document = with_change(place, value)
    checked = check(document)
    if checked is None:
        return
    json.dumps(checked).encode()
    for mount in checked["mounts"]:
        parse_options(mount.get("options", ()))
    process = checked.get("process")
    if process is not None:
        assert process["args"]
        assert process["cwd"].startswith("/")
        assert all("=" in entry for entry in process["env"])
        config.warnings_of(process)


@given(anything)
def test_anything(value: Any) -> None:
    check(value)
