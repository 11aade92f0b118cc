"""The stages of a Dockerfile, and which of them a target needs, in the order in which they can be built."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rootless.build.mount_flags import source_of_mount
from rootless.build.reader import Dockerfile, Instruction
from rootless.build.scope import Arguments
from rootless.errors import InvalidInput


class StagePlan(NamedTuple):
    """One stage: its number, its name in lower case or "", the image or stage that it goes on from, the platform or "".

    `first` is the number of its first instruction; `uses` are the numbers of the stages that it needs.
    """

    number: int
    first: int
    name: str
    base: str
    platform: str
    head: Instruction
    body: tuple[Instruction, ...]
    uses: frozenset[int]
    base_stage: int | None

    @property
    def shown(self) -> str:
        """How progress names it."""
        return self.name or f"stage-{self.number}"


class Plan(NamedTuple):
    """All stages, and the numbers of those that the target needs, itself last."""

    stages: tuple[StagePlan, ...]
    order: tuple[int, ...]

    def find(self, name: str) -> int | None:
        """Return the number of the stage that a COPY --from or a mount names, or None."""
        return _names_of(self.stages).get(name.lower())


def make_plan(dockerfile: Dockerfile, arguments: Arguments, target: str | None, named: Iterable[str] = ()) -> Plan:
    """Return what is to be built. `named` are contexts of the user's, which go before stages of their name.

    Takes the ARGs before the first FROM. Raises `InvalidInput`.
    """
    taken = frozenset(name.lower() for name in named)
    heads = _heads(dockerfile, arguments)
    stages: list[StagePlan] = []
    ends = [*heads[1:], len(dockerfile.instructions)]
    for number, (head, end) in enumerate(zip(heads, ends, strict=True)):
        stages.append(_stage((number, head), dockerfile.instructions[head:end], arguments, stages, taken))
    names = _names_of(stages)
    done = tuple(
        stage._replace(uses=frozenset(_uses(stage, {key: found for key, found in names.items() if key not in taken})))
        for stage in stages
    )
    wanted = len(done) - 1
    if target is not None:
        if target.lower() not in names:
            raise InvalidInput(f'target stage "{target}" could not be found', "name a stage: FROM IMAGE AS NAME")
        wanted = names[target.lower()]
    return Plan(done, _order(done, wanted))


def _heads(dockerfile: Dockerfile, arguments: Arguments) -> list[int]:
    """Return the places of the FROMs; takes the ARGs before them."""
    heads = [index for index, one in enumerate(dockerfile.instructions) if one.name == "FROM"]
    for instruction in dockerfile.instructions[: heads[0] if heads else None]:
        if instruction.name != "ARG":
            raise instruction.error("no build stage in current context", "begin with FROM; only ARG may come before")
        try:
            arguments.take_global(instruction)
        except InvalidInput as error:
            raise instruction.shown_in(error) from error
    if not heads:
        raise InvalidInput("no build stage in the Dockerfile", "begin it with FROM")
    return heads


def _stage(
    place: tuple[int, int],
    instructions: Sequence[Instruction],
    arguments: Arguments,
    before: Sequence[StagePlan],
    named: frozenset[str],
) -> StagePlan:
    head = instructions[0]
    try:
        parts = [head.expand(word, arguments.global_ones) for word in head.arguments]
        wanted = head.expand(head.flag("platform"), arguments.global_ones)
    except InvalidInput as error:
        raise head.shown_in(error) from error
    if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].lower() != "as"):
        raise head.error("FROM requires either one or three arguments", "FROM IMAGE [AS NAME]")
    if not parts[0]:
        raise head.error(f"base name ({head.arguments[0]}) should not be blank", "give the ARG in it a value")
    name = parts[2].lower() if len(parts) == 3 else ""
    if name and not _is_name(name):
        raise head.error(
            f'invalid name for build stage: "{parts[2]:.100}", name can\'t start with a number or contain symbols',
            "use letters, digits, -, _ and .",
        )
    names = _names_of(before)
    base_stage = names.get(parts[0].lower()) if not parts[0].isdecimal() and parts[0].lower() not in named else None
    return StagePlan(*place, name, parts[0], wanted, head, tuple(instructions[1:]), frozenset(), base_stage)


def _is_name(name: str) -> bool:
    return name[0].isascii() and name[0].isalpha() and all(one.isascii() and (one.isalnum() or one in "-_.") for one in name)


def _names_of(stages: Sequence[StagePlan]) -> dict[str, int]:
    """Return the numbers by name; of two stages of one name the last counts."""
    return {key: stage.number for stage in stages for key in (str(stage.number), stage.name) if key}


def _uses(stage: StagePlan, names: dict[str, int]) -> Iterator[int]:
    if stage.base_stage is not None:
        yield stage.base_stage
    for instruction in stage.body:
        for name in _sources_of(instruction):
            if name.lower() in names:
                yield names[name.lower()]


def _sources_of(instruction: Instruction) -> Iterator[str]:
    if instruction.name == "COPY" and instruction.flag("from"):
        yield instruction.flag("from")
    if instruction.name == "RUN":
        for text in instruction.flags.get("mount", ()):
            source = source_of_mount(text)
            if source:
                yield source


def _order(stages: Sequence[StagePlan], wanted: int) -> tuple[int, ...]:
    """Return the numbers of the stages that one needs, each after what it uses. Raises `InvalidInput` for a circle."""
    done: dict[int, None] = {}
    entered: set[int] = set()
    pending: list[tuple[int, bool]] = [(wanted, False)]
    while pending:
        number, is_left = pending.pop()
        if is_left:
            done[number] = None
            entered.discard(number)
        elif number in entered:
            raise stages[number].head.error(
                f"circular dependency detected on stage: {stages[number].name or number}", "no stage can use what goes on from it"
            )
        elif number not in done:
            entered.add(number)
            pending.append((number, True))
            pending += [(one, False) for one in sorted(stages[number].uses, reverse=True) if one not in done]
    return tuple(done)
