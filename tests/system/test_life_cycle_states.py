"""The legal transitions of a container as a table, held by a hypothesis state machine on real containers.

RL_TEST_EXAMPLES makes more and longer runs than the tests do.
"""

import os
import signal
from collections.abc import Callable
from typing import Final, NamedTuple

from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.support.engine import Engine, wait_until

EXAMPLES = int(os.environ.get("RL_TEST_EXAMPLES", "3"))
NAMES: Final = ("one", "two")
NONE: Final = ("--network", "none")
# Ends by itself, with 5, when it is asked to.
_PROGRAM: Final = ("busybox", "sh", "-c", "trap 'exit 5' USR1; trap 'exit 6' TERM; while :; do sleep 0.05; done")

ABSENT, CREATED, INITIALIZED, RUNNING, EXITED = "absent", "created", "initialized", "running", "exited"
STATES: Final = (ABSENT, CREATED, INITIALIZED, RUNNING, EXITED)


class Model(NamedTuple):
    """What a container is: its state, and its exit code, which is that of the last run."""

    state: str = ABSENT
    code: int = 0


class Verb(NamedTuple):
    """A command line, its status where it is illegal, and from which states it leads where: a state, and an exit code or None."""

    arguments: tuple[str, ...]
    illegal: int
    legal: dict[str, tuple[str, int | None]]


_KILLED: Final = (EXITED, 137)
_ALL: Final = (CREATED, INITIALIZED, RUNNING, EXITED)
VERBS: Final[dict[str, Verb]] = {
    "create": Verb(("create", "--name", "NAME", *NONE, *_PROGRAM), 1, {ABSENT: (CREATED, 0)}),
    "run": Verb(("run", "-d", "--name", "NAME", *NONE, *_PROGRAM), 125, {ABSENT: (RUNNING, 0)}),
    "init": Verb(("init", "NAME"), 1, dict.fromkeys((CREATED, EXITED), (INITIALIZED, 0))),
    "start": Verb(("start", "NAME"), 1, dict.fromkeys((CREATED, INITIALIZED, EXITED), (RUNNING, 0))),
    "restart": Verb(("restart", "-t", "0", "NAME"), 1, dict.fromkeys(_ALL, (RUNNING, 0))),
    "stop": Verb(
        ("stop", "-t", "0", "NAME"),
        1,
        {CREATED: (CREATED, None), EXITED: (EXITED, None), INITIALIZED: _KILLED, RUNNING: _KILLED},
    ),
    "kill": Verb(("kill", "NAME"), 1, dict.fromkeys((INITIALIZED, RUNNING), _KILLED)),
    "end by itself": Verb(("kill", "-s", "USR1", "NAME"), 1, {RUNNING: (EXITED, 5)}),
    "rm": Verb(("rm", "NAME"), 1, dict.fromkeys((CREATED, INITIALIZED, EXITED), (ABSENT, 0))),
    "rm -f": Verb(("rm", "-f", "NAME"), 1, dict.fromkeys(STATES, (ABSENT, 0))),
    "exec": Verb(("exec", "NAME", "true"), 1, {RUNNING: (RUNNING, None)}),
    "wait": Verb(("wait", "NAME"), 1, {CREATED: (CREATED, None), EXITED: (EXITED, None)}),
    "update": Verb(("update", "--restart", "no", "NAME"), 1, {state: (state, None) for state in _ALL}),
    "logs": Verb(("logs", "NAME"), 1, {state: (state, None) for state in _ALL}),
}
_LEFT_OUT: Final = {("wait", RUNNING), ("wait", INITIALIZED), ("end by itself", INITIALIZED)}
"""What does not end by itself, and a signal to an init that waits, which takes it for its end."""


class LifeCycle(RuleBasedStateMachine):
    """Two containers, and for each what it should be."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.models = dict.fromkeys(NAMES, Model())

    @rule(name=strategies.sampled_from(NAMES), verb=strategies.sampled_from(sorted(VERBS)))
    def do(self, name: str, verb: str) -> None:
        """Do a verb, legal or not."""
        model, (arguments, illegal, legal) = self.models[name], VERBS[verb]
        if (verb, model.state) in _LEFT_OUT:
            return
        state, code = legal.get(model.state, (model.state, None))
        result = self.engine.rl(*(name if part == "NAME" else part for part in arguments), check=None)
        expected = 0 if model.state in legal else illegal
        assert result.status == expected, (verb, model, result)
        assert (result.stderr != "") >= (expected != 0), (verb, model)
        self.models[name] = Model(state, model.code if code is None else code)

    @rule(name=strategies.sampled_from(NAMES))
    def rename(self, name: str) -> None:
        """Give one container the name of the other, if there is no such."""
        other = NAMES[1 - NAMES.index(name)]
        is_legal = self.models[name].state != ABSENT and self.models[other].state == ABSENT
        assert self.engine.rl("rename", name, other, check=None).status == (0 if is_legal else 1)
        if is_legal:
            self.models[name], self.models[other] = self.models[other], self.models[name]

    @rule(name=strategies.sampled_from(NAMES), process=strategies.sampled_from(("Init", "Monitor")))
    def kill_process(self, name: str, process: str) -> None:
        """Kill a process of a container's, without asking the engine."""
        if self.models[name].state in (INITIALIZED, RUNNING):
            os.kill(self.engine.record(name)["Rl"][process][0], signal.SIGKILL)
            self.models[name] = Model(*_KILLED)

    @invariant()
    def records_are_right(self) -> None:
        """Compare each record with the model; what ends tells so a little later."""
        for name, model in self.models.items():
            wait_until(self._is(name, model), 20, f"{name} is {model}")

    def _is(self, name: str, model: Model) -> Callable[[], bool]:
        def is_right() -> bool:
            result = self.engine.rl("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}", name, check=None)
            if model.state == ABSENT:
                return result.status == 1
            running = str(model.state == RUNNING).lower()
            code = 0 if model.state in (INITIALIZED, RUNNING) else model.code
            return result.stdout == f"{model.state} {code} {running}\n"

        return is_right

    def teardown(self) -> None:
        """Leave nothing for the next run."""
        self.engine.rl("rm", "-f", *NAMES, check=None)


def test_transitions(engine: Engine) -> None:
    checks = (HealthCheck.too_slow, HealthCheck.filter_too_much)
    # Without shrinking a failure is told at once, by the steps that led to it: each costs a process.
    phases = (Phase.explicit, Phase.generate)
    run_state_machine_as_test(
        lambda: LifeCycle(engine),
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=checks, phases=phases, database=None
        ),
    )
