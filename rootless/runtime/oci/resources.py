"""linux.resources, as long as `rl oci` sets no limits: what would be one is refused (config-linux.md, "Control groups").

Device rules need no cgroup: a user's container has no device but those bound into it, and can make none.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rootless.errors import NodeLacks

_NO_LIMITS: Final = ("devices",)
_ENGINES_DEFAULT: Final = "pids.limit"
"""Engines set it unasked, and a container is no worse for its lack than the user's other processes."""


def check(resources: Mapping[str, Any], *, disabled: bool) -> list[str]:
    """Return warnings for limits that are left out. Raises `NodeLacks` for one that somebody relies on.

    `disabled`: the user has said that there are to be no limits, and is only told.
    """
    limits = [place for name, value in resources.items() if name not in _NO_LIMITS for place in _limits(value, name)]
    for place in limits:
        if place != _ENGINES_DEFAULT and not disabled:
            raise NodeLacks(
                f"config.json: linux.resources.{place}: rl oci sets no limits",
                "leave it out, or use --cgroup-manager disabled to run without limits",
            )
    return [f"linux.resources.{place}: rl oci sets no limits: ignored" for place in limits]


def _limits(value: Any, place: str) -> Iterator[str]:
    """Yield the places of values that limit something; -1, 0, false and what is empty are how engines write none."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _limits(one, f"{place}.{name}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _limits(one, f"{place}[{index}]")
    elif value not in (0, -1, "", False):
        yield place
