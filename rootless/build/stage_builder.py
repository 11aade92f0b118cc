"""Going through the instructions of one stage. What an instruction does is in `instructions`, one file a family."""

import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rootless.build import reader
from rootless.build.plan import Plan, StagePlan
from rootless.build.reader import Instruction
from rootless.build.scope import Arguments
from rootless.build.stage import Engine, Folder, Stage
from rootless.errors import InvalidInput, RlError, os_error_text
from rootless.images import platform
from rootless.images.store import Image

_LONGEST: Final = 500  # letters of an instruction as progress shows it
FindImage = Callable[[str, str | None], Image]
"""Returns the image of a name for a platform (None: that of the store, or of this machine)."""


class Session(NamedTuple):
    """What all stages of a build share; `stages` are those that are done, by number, `scratch` is a folder for its time."""

    engine: Engine
    context: Folder
    contexts: Mapping[str, Folder | str]  # named ones: folders, and names of images
    arguments: Arguments
    plan: Plan
    find_image: FindImage
    platform: str | None
    uncached: frozenset[str]  # names of stages whose cached steps are not used
    steps: int
    scratch: str
    secrets: Mapping[str, bytes]  # by ID
    ssh: Mapping[str, tuple[str, ...]]  # agents and keys by ID
    stages: dict[int, Stage]

    def new_folder(self) -> str:
        """Return a new folder for the time of the build."""
        return tempfile.mkdtemp(dir=self.scratch)

    def source(self, name: str) -> Stage | Folder:
        """Return what a COPY --from or a mount names: a context, a stage, or an image. Raises `RlError`."""
        named = self.contexts.get(name.lower())
        if named is not None:
            return Stage(self.engine, self.find_image(named, self.platform)) if isinstance(named, str) else named
        number = self.plan.find(name)
        if number is None:
            return Stage(self.engine, self.find_image(name, self.platform))
        if number not in self.stages:
            hint = "only an ONBUILD can meet that: name the stage in the Dockerfile, too"
            raise InvalidInput(f"stage {name} is not built yet", hint)
        return self.stages[number]


class StageBuilder:
    """Makes one stage; the steps read and change `stage` and `variables`, those of its ARGs."""

    def __init__(self, session: Session, plan: StagePlan) -> None:
        self.session = session
        self.plan = plan
        skips = plan.name in session.uncached
        self.engine = session.engine._replace(cache=session.engine.cache.skipping(skips)) if skips else session.engine
        self.variables: dict[str, str] = {}
        self.has_command = False  # of this stage's own CMD
        self.stage = self._base()

    @property
    def scope(self) -> dict[str, str]:
        """All variables: those of ARG, and over them those of ENV."""
        return {**self.variables, **self.stage.environment}

    def build(self) -> Stage:
        """Go through the instructions. Raises `RlError` that shows the one that failed."""
        self._say(0, self.plan.head)
        for trigger in self.stage.settings.pop("OnBuild", None) or []:
            self._step(reader.read_trigger(trigger, self.plan.base))
        for number, instruction in enumerate(self.plan.body, 1):
            self._say(number, instruction)
            self._step(instruction)
        return self.stage

    def _say(self, number: int, instruction: Instruction) -> None:
        text = instruction.shown if len(instruction.shown) <= _LONGEST else f"{instruction.shown[:_LONGEST]}…"
        self.engine.say(f"STEP {self.plan.first + number + 1}/{self.session.steps}: {text}")

    def _step(self, instruction: Instruction) -> None:
        from rootless.build.instructions import STEPS  # which import this module

        before = len(self.stage.layers)
        try:
            STEPS[instruction.name](self, instruction)
        except RlError as error:
            raise instruction.shown_in(error) from error
        except OSError as error:
            raise instruction.shown_in(RlError(os_error_text(error))) from error
        if instruction.name != "ARG":
            self.note(instruction.whole, changed=len(self.stage.layers) > before)

    def note(self, text: str, *, changed: bool) -> None:
        """Add an entry to the image's history."""
        step: dict[str, Any] = {"created": self.stage.created, "created_by": text, "comment": "rl build"}
        if not changed:
            step["empty_layer"] = True
        self.stage.config["history"] = [*(self.stage.config.get("history") or []), step]

    def _base(self) -> Stage:
        """Return the stage as FROM makes it."""
        plan = self.plan
        try:
            if plan.base_stage is not None:
                return self.session.stages[plan.base_stage].copied(self.engine)
            wanted = plan.platform or self.session.platform
            if plan.base == "scratch":
                stage = Stage(self.engine, None)
                machine = platform.parse(wanted) if wanted else platform.of_machine()
                stage.config.update(architecture=machine.architecture, os=machine.os)
                if machine.variant:
                    stage.config["variant"] = machine.variant
                return stage
            named = self.session.contexts.get(plan.base.lower(), plan.base)
            if not isinstance(named, str):
                text = f"the context {plan.base} is a folder, and a stage goes on from an image"
                raise InvalidInput(text, "COPY --from takes its files")
            return Stage(self.engine, self.session.find_image(named, wanted or None))
        except RlError as error:
            raise plan.head.shown_in(error) from error
