"""What each instruction of a Dockerfile does to a stage; FROM, which begins one, is in `rootless.build.stage_builder`."""

from collections.abc import Callable
from typing import Final

from rootless.build.instructions import files, run, settings
from rootless.build.reader import Instruction
from rootless.build.stage_builder import StageBuilder

STEPS: Final[dict[str, Callable[[StageBuilder, Instruction], None]]] = {**settings.STEPS, **files.STEPS, **run.STEPS}
