"""COPY, ADD and WORKDIR: files from the context, from stages, images and elsewhere."""

import os
import posixpath
from collections.abc import Callable
from typing import Final

from rootless.build.dockerfile.ignore import Ignored
from rootless.build.reader import Instruction
from rootless.build.selection import Selection
from rootless.build.stage import Folder, Given, Stage
from rootless.build.stage_builder import StageBuilder
from rootless.errors import InvalidInput


def target_of(builder: StageBuilder, word: str) -> str:
    """Return the destination as an absolute path, which ends with `/` where it can only be a folder."""
    ends = "/" if word.endswith(("/", "/.")) or word in (".", "") else ""
    path = posixpath.normpath(posixpath.join("/", builder.stage.workdir, word))
    return "/" if path in ("/", "//") else path + ends


def given_of(builder: StageBuilder, instruction: Instruction) -> Given:
    """Return the owner and mode that the flags give. Raises `InvalidInput`."""
    scope = builder.scope
    return Given(instruction.expand(instruction.flag("chown"), scope), instruction.expand(instruction.flag("chmod"), scope))


def selection_of(builder: StageBuilder, instruction: Instruction, sources: list[str]) -> Selection:
    """Return what is to be copied."""
    excluded = [instruction.expand(pattern, builder.scope) for pattern in instruction.flags.get("exclude", ())]
    return Selection(tuple(sources), excluded=Ignored(excluded), parents=instruction.is_on("parents"))


def words_of(builder: StageBuilder, instruction: Instruction) -> tuple[list[str], str]:
    """Return the sources and the destination, with their variables replaced. Raises `InvalidInput`."""
    *sources, target = [instruction.expand(word, builder.scope) for word in instruction.arguments]
    if len(sources) > 1 and not target.endswith("/"):
        raise InvalidInput("when using COPY with more than one source file, the destination must be a directory and end with a /")
    return sources, target


def _copy(builder: StageBuilder, instruction: Instruction) -> None:
    sources, target = words_of(builder, instruction)
    origin = _origin(builder, instruction.flag("from"))
    selection = selection_of(builder, instruction, sources)
    builder.stage.copy(origin, selection, target_of(builder, target), given_of(builder, instruction))


def _origin(builder: StageBuilder, name: str) -> Stage | Folder:
    if not name:
        return builder.session.context
    if "$" in name:
        raise InvalidInput(
            "variable expansion is not supported for --from",
            "define a new stage with FROM using ARG from global scope as a workaround",
        )
    return builder.session.source(name)


def _workdir(builder: StageBuilder, instruction: Instruction) -> None:
    path = instruction.expand(instruction.text, builder.scope)
    builder.stage.settings["WorkingDir"] = os.path.normpath(posixpath.join("/", builder.stage.workdir, path))
    builder.stage.make_folder(builder.stage.settings["WorkingDir"])


STEPS: Final[dict[str, Callable[[StageBuilder, Instruction], None]]] = {"COPY": _copy, "WORKDIR": _workdir}
