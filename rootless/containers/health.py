"""Health checks as a state machine, with no I/O and the time as an argument; the rules are Docker's (daemon/health.go).

A container is `starting` until a probe succeeds (`healthy`) or `retries` in a row fail (`unhealthy`). Failures within the start
period do not count, as long as none has succeeded; meanwhile probes follow each other by the start interval.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

STARTING: Final = "starting"
HEALTHY: Final = "healthy"
UNHEALTHY: Final = "unhealthy"
ON_FAILURE: Final = ("none", "kill", "restart", "stop")

NANOSECONDS: Final = 10**9
MAX_OUTPUT: Final = 4096  # bytes of a probe's output that are kept
_MAX_LOG: Final = 5  # probes
_SHELL: Final = ("/bin/sh", "-c")


class Check(NamedTuple):
    """What is done: the command, and times in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


class Health(NamedTuple):
    """Where it stands: the status, and how many probes failed in a row."""

    status: str = STARTING
    streak: int = 0


class Outcome(NamedTuple):
    """What a probe gave: times are RFC 3339; the exit code is -1 for one that took too long or could not be run."""

    start: str
    end: str
    exit_code: int
    output: str


def check_of(config: Mapping[str, Any]) -> Check | None:
    """Return the check of a container's Config, or None for one without; 0 means the default of each number."""
    given = config.get("Healthcheck") or {}
    test = given.get("Test") or ["NONE"]
    if test[0] == "NONE" or len(test) < 2:
        return None
    shell = tuple(config.get("Shell") or _SHELL)
    command = (*shell, test[1]) if test[0] == "CMD-SHELL" else tuple(test[1:])
    defaults = Check(command)
    return Check(
        command,
        _seconds(given, "Interval") or defaults.interval,
        _seconds(given, "Timeout") or defaults.timeout,
        int(given.get("Retries") or 0) or defaults.retries,
        _seconds(given, "StartPeriod"),
        _seconds(given, "StartInterval") or defaults.start_interval,
    )


def _seconds(given: Mapping[str, Any], name: str) -> float:
    return int(given.get(name) or 0) / NANOSECONDS


def after_probe(check: Check, health: Health, exit_code: int, age: float) -> Health:
    """Return where it stands after a probe of a container that had run for `age` seconds when the probe began."""
    if exit_code == 0:
        return Health(HEALTHY, 0)
    if health.status == STARTING and age < check.start_period:
        return health
    streak = health.streak + 1
    return Health(UNHEALTHY if streak >= check.retries else health.status, streak)


def pause(check: Check, health: Health, age: float) -> float:
    """Return the seconds from the end of a probe, or from the start, to the next probe."""
    if health.status == STARTING and age < check.start_period:
        return check.start_interval
    return check.interval


def new_state() -> dict[str, Any]:
    """Return State.Health of a container that starts."""
    return {"Status": STARTING, "FailingStreak": 0, "Log": []}


def note(state: dict[str, Any], health: Health, outcome: Outcome) -> None:
    """Put a probe into State.Health: the last five are kept."""
    entry = {"Start": outcome.start, "End": outcome.end, "ExitCode": outcome.exit_code, "Output": outcome.output}
    state["Status"], state["FailingStreak"] = health.status, health.streak
    state["Log"] = [*state["Log"], entry][-_MAX_LOG:]
