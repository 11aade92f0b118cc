"""Docker's restart policies: whether a container that has ended is started again, and after how long (restartmanager.go).

The delay before a start is 100 ms, twice as long with each further one up to a minute, and 100 ms again after a run of 10 seconds.
"""

from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput

NAMES: Final = ("no", "always", "on-failure", "unless-stopped")
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 60.0
_GOOD_RUN: Final = 10.0


class Policy(NamedTuple):
    """When to start again; `maximum` bounds the tries of on-failure, 0 does not."""

    name: str = "no"
    maximum: int = 0

    @property
    def as_json(self) -> dict[str, Any]:
        """The policy as HostConfig.RestartPolicy has it."""
        return {"Name": self.name, "MaximumRetryCount": self.maximum}


def parse(text: str) -> Policy:
    """Return the policy of `--restart`. Raises `InvalidInput`."""
    name, separator, count = text.partition(":")
    name = name or "no"
    if name not in NAMES:
        raise InvalidInput(f"invalid restart policy: unknown policy '{name}'", f"use one of {', '.join(NAMES)}")
    if not separator:
        return Policy(name)
    if name != "on-failure":
        raise InvalidInput(f"invalid restart policy: maximum retry count cannot be used with restart policy '{name}'")
    if not count.isdecimal():
        raise InvalidInput(f"invalid restart policy format: maximum retry count must be a number, not {count!r}")
    return Policy(name, int(count))


def of_host_config(host_config: dict[str, Any]) -> Policy:
    """Return the policy of a record."""
    policy = host_config.get("RestartPolicy") or {}
    return Policy(policy.get("Name") or "no", int(policy.get("MaximumRetryCount") or 0))


def is_wanted(policy: Policy, exit_code: int, restarts: int) -> bool:
    """Tell whether a container that ended by itself is started again, after `restarts` such starts."""
    if policy.name == "on-failure":
        return exit_code != 0 and (policy.maximum == 0 or restarts < policy.maximum)
    return policy.name in ("always", "unless-stopped")


def next_delay(previous: float, ran: float) -> float:
    """Return the seconds to wait before the next start: after having waited `previous` (0: never), and a run of `ran` seconds."""
    if previous == 0 or ran >= _GOOD_RUN:
        return _FIRST_DELAY
    return min(previous * 2, _LONGEST_DELAY)
