"""Waiting until a container is in a state (`rl wait --condition`): Docker's conditions of its end, podman's of states."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rootless.containers import lifecycle
from rootless.containers.documents import State
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import Locations

NOT_ENDED: Final = -1
"""What is returned where the condition was none of an end, as podman does."""


def _has_status(*names: str) -> Callable[[State], bool]:
    return lambda state: state["Status"] in names


def _has_health(name: str) -> Callable[[State], bool]:
    return lambda state: state["Running"] and state.get("Health", {}).get("Status") == name


_STATES: Final[Mapping[str, Callable[[State], bool]]] = {
    "created": _has_status("created"),
    "exited": _has_status("exited"),
    "healthy": _has_health("healthy"),
    "paused": _has_status("paused"),
    "restarting": _has_status("restarting"),
    "running": _has_status("running"),
    "stopped": _has_status("exited"),
    "unhealthy": _has_health("unhealthy"),
}
_ENDS: Final = ("next-exit", "not-running", "removed")
_HAVE_ENDED: Final = ("exited", "stopped")


def wait(locations: Locations, name_or_id: str, conditions: Sequence[str], interval: float) -> int:
    """Wait until one of the conditions holds, and return the exit code, or -1 where that was no end.

    The end itself is waited for at the monitor; everything else is looked up every `interval` seconds. Raises `InvalidInput`,
    `NoSuchObject`.
    """
    for condition in conditions:
        if condition not in _STATES and condition not in _ENDS:
            known = ", ".join(sorted((*_STATES, *_ENDS)))
            raise InvalidInput(f"invalid condition: {condition!r}", f"use one of {known}")
    if tuple(conditions) in ((), ("not-running",)):
        return lifecycle.wait(locations, name_or_id)
    store = ContainerStore(locations)
    document = store.find(name_or_id)
    first = document["State"]
    while True:
        state = document["State"]
        for condition in conditions:
            if condition in _STATES and _STATES[condition](state):
                return state["ExitCode"] if condition in _HAVE_ENDED else NOT_ENDED
            if condition == "not-running" and not state["Running"]:
                return state["ExitCode"]
            if condition == "next-exit" and _has_ended_since(first, state):
                return state["ExitCode"]
        time.sleep(interval)
        try:
            document = store.find(document["Id"])
        except NoSuchObject:
            if "removed" in conditions or "next-exit" in conditions or "not-running" in conditions:
                return state["ExitCode"]
            raise


def _has_ended_since(first: State, now: State) -> bool:
    """Tell whether a container has ended after the state `first`: a start clears the time of the end before."""
    if now["Running"] and not now["Restarting"]:
        return now["StartedAt"] != first["StartedAt"] and first["Running"]
    return now["FinishedAt"] != first["FinishedAt"]
