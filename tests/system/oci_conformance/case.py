"""One row of the conformance table: a property of config.json, what is set, and what the container shows of it.

Every row runs through `rl oci`, crun and runc. Where a peer does something else, the row says why; a reason that has become wrong
fails as well.
"""

from typing import Any, NamedTuple

from tests.support.test_user import USER


def _subordinate_start() -> int:
    with open("/etc/subuid") as file:
        for line in file:
            name, start, _length = line.split(":")
            if name == USER.pw_name:
                return int(start)
    raise AssertionError(f"no subordinate IDs of {USER.pw_name}")


# What Debian 12 has, which the reasons in the table are about.
PEERS = {"crun": "1.8.1", "runc": "1.1.5"}

# Reasons that many rows have.
UNKNOWN = "it does not know the property yet, and ignores it"
LENIENT = "it does not check the value, and ignores it"
BOTH_UNKNOWN = {"crun": UNKNOWN, "runc": UNKNOWN}
BOTH_LENIENT = {"crun": LENIENT, "runc": LENIENT}


class Refused(str):
    """The container is not made, and our error holds this text."""


class Case(NamedTuple):
    """A row. `sets` maps a property's place to its value; one with `+` is an array to append to."""

    place: str  # the property, as the schema names it
    sets: dict[str, Any]
    script: str  # what the container's shell runs
    expected: str  # its output, or `Refused`
    crun: str = ""  # why crun does something else; "" where it does the same
    runc: str = ""


def base() -> dict[str, Any]:
    """Return the config that all rows change: every ID of the user, no network."""

    def mappings(own: int) -> list[dict[str, int]]:
        return [
            {"containerID": 0, "hostID": own, "size": 1},
            {"containerID": 1, "hostID": _subordinate_start(), "size": 60000},
        ]

    return {
        "ociVersion": "1.0.2",
        "process": {"env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("user", "mount", "pid", "ipc", "uts")],
            "uidMappings": mappings(USER.pw_uid),
            "gidMappings": mappings(USER.pw_gid),
        },
    }


def config_of(case: Case) -> dict[str, Any]:
    """Return the whole config of a row."""
    document = base()
    document["process"]["args"] = ["/bin/sh", "-c", case.script]
    for place, value in case.sets.items():
        where: Any = document
        *above, last = place.rstrip("+ ").split(".")
        for name in above:
            where = where.setdefault(name, {})
        if "+" in place:
            where.setdefault(last, []).append(value)
        elif value is None:
            where.pop(last, None)
        else:
            where[last] = value
    return document
