"""Health checks in a container's monitor: the timer, the prober that is at work, and what becomes of an outcome."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from rootless import events
from rootless.containers import clock, health, health_probe
from rootless.containers.documents import Document
from rootless.containers.health import Check, Health, Outcome
from rootless.containers.health_probe import Probe
from rootless.containers.loop import READABLE, Loop, Timer
from rootless.errors import RlError, os_error_text
from rootless.locations import Locations

_FAILED: Final = -1


class Checked(Protocol):
    """What the checks need of the monitor."""

    locations: Locations
    document: Document
    loop: Loop


class HealthChecks:
    """The checks of one run of a container; `age` returns for how many seconds it has run."""

    def __init__(self, around: Checked, check: Check, age: Callable[[], float], on_outcome: Callable[[str], None]) -> None:
        """`on_outcome` is called with the status after each, when it is in the record in memory, to write that and to act."""
        self._around = around
        self._check = check
        self._age = age
        self._on_outcome = on_outcome
        self._health = Health()
        self._timer: Timer | None = None
        self._probe: Probe | None = None
        self._schedule()

    def stop(self) -> None:
        """Probe no more; one that is at work is ended."""
        self._around.loop.cancel(self._timer)
        if self._probe is not None:
            self._around.loop.forget(self._probe.descriptor)
            health_probe.abandon(self._probe)
            self._probe = None

    def take(self, start: str, end: str, exit_code: int, output: str) -> None:
        """Note the outcome of `rl healthcheck run`; may raise what malformed values raise."""
        self._take(Outcome(str(start), str(end), int(exit_code), str(output)), self._age())

    def _take(self, outcome: Outcome, age: float) -> None:
        before, self._health = self._health, health.after_probe(self._check, self._health, outcome.exit_code, age)
        state: Any = self._around.document["State"]
        health.note(state["Health"], self._health, outcome)
        if before.status != self._health.status:
            events.emit_container(self._around.locations, self._around.document, f"health_status: {self._health.status}")
        self._on_outcome(self._health.status)

    def _schedule(self) -> None:
        self._timer = self._around.loop.call_in(health.pause(self._check, self._health, self._age()), self._begin)

    def _begin(self) -> None:
        began = self._age()
        try:
            self._probe = probe = health_probe.begin(self._around.locations, self._around.document, self._check)
        except (RlError, OSError) as error:  # no memory for another process, or the container has ended
            text = error.message if isinstance(error, RlError) else os_error_text(error)
            self._take(Outcome(clock.now(), clock.now(), _FAILED, text), began)
            self._schedule()
            return
        self._around.loop.watch(probe.descriptor, READABLE, lambda _events: self._on_report(probe, began))

    def _on_report(self, probe: Probe, began: float) -> None:
        self._around.loop.forget(probe.descriptor)
        self._probe = None
        outcome = health_probe.take(probe)
        self._schedule()
        self._take(outcome, began)
