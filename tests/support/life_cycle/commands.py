"""The command lines of the life-cycle storm: some forty, on five names, and with which exit statuses each may end."""

import random
from collections.abc import Callable
from typing import Final, NamedTuple

NAMES: Final = ("one", "two", "three", "four", "five")
IMAGE: Final = "busybox"
COMMITTED: Final = "committed"
"""The images that are made meanwhile have this name, and a tag each."""

NO_SUCH_COMMAND: Final = "executable file not found in $PATH"
"""What is said of those containers whose command is not there."""

_POLITE: Final = ("sh", "-c", "trap 'exit 3' TERM; echo begun; while :; do sleep 0.05; done")
_ENGINE: Final = frozenset({0, 1})
# Of containers' commands: as they end by themselves, by TERM, USR1 or KILL, or were not there; 125: the engine could not.
_OF_CONTAINERS: Final = frozenset({0, 1, 3, 7, 125, 127, 137, 138, 143})
_OF_EXEC: Final = frozenset({0, 1, 5, 125, 137})


class Call(NamedTuple):
    """A command line of `rl`; one that `lasts` may go on for as long as a container does, or until it is gone."""

    arguments: tuple[str, ...]
    statuses: frozenset[int]
    lasts: bool = False

    @property
    def outlasts_an_end(self) -> bool:
        """Whether the end of the container need not end it: only its removal does."""
        return self.arguments[:2] == ("wait", "--condition")


class _Kind(NamedTuple):
    make: Callable[[random.Random], tuple[str, ...]]
    weight: int = 2
    statuses: frozenset[int] = _ENGINE
    lasts: bool = False


def choose(rng: random.Random) -> Call:
    """Choose a command line."""
    (kind,) = rng.choices(_KINDS, _WEIGHTS)
    return Call(kind.make(rng), kind.statuses, kind.lasts)


def _name(rng: random.Random) -> str:
    return rng.choice(NAMES)


def _two(rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.sample(NAMES, 2))


def _made(rng: random.Random) -> tuple[str, ...]:
    """Return the options and the command of a new container."""
    options = rng.choice(_OPTIONS)
    network = ("--network", "none" if rng.random() < 0.8 else "slirp")
    return ("--name", _name(rng), *network, *options, IMAGE, *rng.choice(_COMMANDS))


_OPTIONS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    (),
    ("--rm",),
    ("--init",),
    ("--restart", "always"),
    ("--restart", "on-failure:2"),
    ("-v", "shared:/shared"),
    ("-v", "/anonymous"),
    ("--replace",),
    ("--health-cmd", "true", "--health-interval", "1s"),
)
_COMMANDS: Final[tuple[tuple[str, ...], ...]] = (
    *[("sleep", "1000")] * 4,
    *[_POLITE] * 4,
    ("sleep", "0.5"),
    ("true",),
    ("sh", "-c", "echo seven; exit 7"),
    ("nosuch",),
)
_CONDITIONS: Final = ("running", "exited", "removed", "next-exit", "not-running", "created")
_POLICIES: Final = ("no", "always", "on-failure:2", "unless-stopped")


def _table(*columns: str) -> tuple[str, ...]:
    return ("ps", "-a", "--format", " ".join(f"{{{{.{column}}}}}" for column in columns))


_KINDS: Final = (
    _Kind(lambda rng: ("create", *_made(rng)), 7),
    _Kind(lambda rng: ("run", "-d", *_made(rng)), 14, _OF_CONTAINERS),
    _Kind(lambda rng: ("run", *_made(rng)), 6, _OF_CONTAINERS, lasts=True),
    _Kind(lambda rng: ("start", _name(rng)), 8),
    _Kind(lambda rng: ("start", *_two(rng)), 2),
    _Kind(lambda rng: ("start", "-a", _name(rng)), 3, _OF_CONTAINERS, lasts=True),
    _Kind(lambda _rng: ("start", "--all"), 1),
    _Kind(lambda rng: ("init", _name(rng)), 2),
    _Kind(lambda rng: ("stop", "-t", "0", _name(rng)), 4),
    _Kind(lambda rng: ("stop", "-t", "1", *_two(rng)), 2),
    _Kind(lambda _rng: ("stop", "-a", "-t", "0"), 1),
    _Kind(lambda rng: ("restart", "-t", "0", _name(rng)), 5),
    _Kind(lambda rng: ("restart", "-t", "1", *_two(rng)), 1),
    _Kind(lambda rng: ("kill", _name(rng)), 3),
    _Kind(lambda rng: ("kill", "-s", "TERM", _name(rng)), 2),
    _Kind(lambda rng: ("kill", "-s", "USR1", _name(rng)), 1),
    _Kind(lambda rng: ("wait", _name(rng)), 3, lasts=True),
    _Kind(lambda rng: ("wait", "--condition", rng.choice(_CONDITIONS), _name(rng)), 2, lasts=True),
    _Kind(lambda rng: ("rename", *_two(rng)), 5),
    _Kind(lambda rng: ("rm", _name(rng)), 4),
    _Kind(lambda rng: ("rm", "-f", _name(rng)), 2),
    _Kind(lambda rng: ("rm", "-fv", *_two(rng)), 1),
    _Kind(lambda _rng: ("container", "prune", "-f"), 1),
    _Kind(lambda rng: ("exec", _name(rng), "true"), 5, _OF_EXEC),
    _Kind(lambda rng: ("exec", _name(rng), "sh", "-c", "echo five; exit 5"), 2, _OF_EXEC),
    _Kind(lambda rng: ("exec", "-d", _name(rng), "sleep", "0.3"), 2, _OF_EXEC),
    _Kind(lambda rng: ("exec", _name(rng), "sleep", "1000"), 1, _OF_EXEC, lasts=True),
    _Kind(lambda rng: ("cp", "/etc/passwd", f"{_name(rng)}:/tmp"), 2),
    _Kind(lambda rng: ("cp", f"{_name(rng)}:/bin/busybox", "-"), 2),
    _Kind(lambda rng: ("logs", _name(rng)), 2),
    _Kind(lambda rng: ("logs", "-f", _name(rng)), 2, lasts=True),
    _Kind(lambda rng: ("attach", "--no-stdin", _name(rng)), 3, _OF_CONTAINERS, lasts=True),
    _Kind(lambda rng: ("top", _name(rng)), 2),
    _Kind(lambda _rng: _table("ID", "Names", "State", "Status"), 2),
    _Kind(lambda _rng: ("ps", "-as"), 1),
    _Kind(lambda rng: ("inspect", _name(rng)), 2),
    _Kind(lambda rng: ("diff", _name(rng)), 2),
    _Kind(lambda rng: ("export", "-o", "/dev/null", _name(rng)), 1),
    _Kind(lambda rng: ("commit", _name(rng), f"{COMMITTED}:{rng.randrange(3)}"), 1),
    _Kind(lambda rng: ("update", "--restart", rng.choice(_POLICIES), _name(rng)), 2),
    _Kind(lambda rng: ("clone", *_two(rng)), 2),
    _Kind(lambda _rng: ("events", "--since", "1m", "--until", "0s"), 1),
    _Kind(lambda rng: ("container", "exists", _name(rng)), 1),
    _Kind(lambda rng: ("healthcheck", "run", _name(rng)), 1, frozenset({0, 1, 125})),
)
_WEIGHTS: Final = [kind.weight for kind in _KINDS]
