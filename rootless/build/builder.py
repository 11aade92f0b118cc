"""From the instructions of a Dockerfile to an image: stages, variables, and what each instruction does."""

import bisect
import glob
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rootless.build import healthcheck, reader
from rootless.build.reader import Instruction
from rootless.build.stage import Engine, Given, Stage
from rootless.errors import InvalidInput, NoSuchObject, RlError
from rootless.images import additions, platform, reference
from rootless.images.changes import apply_changes
from rootless.images.new_image import now, write_documents
from rootless.images.store import Image, ImageStore

_SHELL: Final = ["/bin/sh", "-c"]
_PREDEFINED: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
_MODE_DIGITS: Final = 5
_FLAGS: Final = {"COPY": frozenset({"from", "chown", "chmod"}), "HEALTHCHECK": healthcheck.FLAGS}


class BuildOptions(NamedTuple):
    """What the user asks of a build; `context` is a folder, `arguments` are those of --build-arg."""

    context: str
    dockerfile: str
    tags: tuple[str, ...] = ()
    arguments: Mapping[str, str] = {}
    target: str | None = None
    labels: Mapping[str, str] = {}


def build(engine: Engine, options: BuildOptions, find_image: Callable[[str], Image]) -> Image:
    """Build an image and return it; `find_image` gets that of a FROM. The caller is single-threaded.

    Raises `InvalidInput`, `RlError` (a failed step, with its exit status), `NodeLacks`, `OSError`; no image is made then.
    """
    targets = [reference.parse_new(tag) for tag in options.tags]
    if os.path.exists(f"{options.context}/.dockerignore"):
        raise InvalidInput("the context has a .dockerignore, which is not supported yet", "build from a folder without one")
    instructions = reader.read(options.dockerfile)
    store = ImageStore(engine.locations)
    with additions.adding(engine.locations):
        stage = _Builder(engine, options, find_image).build(instructions)
        new = write_documents(store.layout, stage.layers, stage.config, stage.layer_keys, stage.size)
        names: list[str | None] = [target.name for target in targets]
        for name in names or [None]:
            if not store.add(new, name):
                raise NoSuchObject("a layer of the new image was removed by another process", "build again")
        return store.added(new)


class _Builder:
    """Goes through the instructions."""

    def __init__(self, engine: Engine, options: BuildOptions, find_image: Callable[[str], Image]) -> None:
        self._engine = engine
        self._options = options
        self._find_image = find_image
        self._stages: dict[str, Stage] = {}  # by number, and by name
        self._global: dict[str, str] = {}  # of ARG before the first FROM
        self._variables: dict[str, str] = {}  # of ARG in this stage
        self._stage: Stage | None = None
        self._number = 0
        self._steps: dict[str, Callable[[Instruction, Stage], None]] = {
            "RUN": self._run, "COPY": self._copy, "ENV": self._env, "LABEL": self._label, "WORKDIR": self._workdir,
            "CMD": self._command, "ENTRYPOINT": self._command, "SHELL": self._shell, "MAINTAINER": self._maintainer,
            "HEALTHCHECK": self._healthcheck, "EXPOSE": self._change_expanded, "STOPSIGNAL": self._change_expanded,
            "USER": self._change_expanded, "VOLUME": self._change_expanded, "ONBUILD": self._change,
        }  # fmt: skip

    def build(self, instructions: list[Instruction]) -> Stage:
        """Build the last stage, or that of --target, with those before it."""
        heads = [index for index, one in enumerate(instructions) if one.name == "FROM"]
        needed: set[int] = set()
        for index, instruction in enumerate(instructions):
            if index == (heads or [-1])[0]:  # the ARGs that FROM can have are known now
                needed = self._needed(instructions, heads)
            own = bisect.bisect_right(heads, index) - 1  # the number of its stage
            if own >= 0 and own not in needed:
                continue
            self._engine.say(f"STEP {index + 1}/{len(instructions)}: {instruction.shown}")
            try:
                self._number = own
                self._step(instruction)
            except RlError as error:
                raise type(error)(f"dockerfile line {instruction.line}: {error.message}", error.hint) from error
        if self._stage is None:
            raise InvalidInput("no build stage in the Dockerfile", "begin it with FROM")
        stage = self._stage
        if self._options.labels:
            stage.settings["Labels"] = {**(stage.settings.get("Labels") or {}), **self._options.labels}
        stage.config.update(created=now(), config=stage.settings, rootfs={"type": "layers", "diff_ids": list(stage.diff_ids)})
        return stage

    def _needed(self, instructions: list[Instruction], heads: list[int]) -> set[int]:
        """Return the numbers of the stages that the target is made of: itself, and what it takes files from or goes on from."""
        names: dict[str, int] = {}
        uses: list[set[int]] = []
        for number, (head, end) in enumerate(zip(heads, [*heads[1:], len(instructions)], strict=True)):
            base, name = self._parts_of(instructions[head])
            asked = [one.flags.get("from", "") for one in instructions[head:end] if one.name == "COPY"]
            uses.append({names[one.lower()] for one in asked if one.lower() in names})
            if base.lower() in names and not base.isdecimal():
                uses[-1].add(names[base.lower()])
            names.update({key: number for key in (str(number), name) if key})
        wanted = self._options.target
        if wanted is not None and wanted.lower() not in names:
            raise InvalidInput(f'target stage "{wanted}" could not be found', "name a stage: FROM IMAGE AS NAME")
        pending, found = [len(heads) - 1 if wanted is None else names[wanted.lower()]], set[int]()
        while pending:
            number = pending.pop()
            found.add(number)
            pending += uses[number] - found
        return found

    def _parts_of(self, instruction: Instruction) -> tuple[str, str]:
        """Return what a FROM goes on from, and the name of its stage in lower case, or ""."""
        if instruction.flags:
            raise InvalidInput("FROM with options is not supported yet", "leave them out")
        parts = [reader.expand(word, self._global) for word in instruction.arguments]
        if len(parts) not in (1, 3) or (len(parts) == 3 and parts[1].lower() != "as") or not parts[0]:
            raise InvalidInput("FROM requires either one or three arguments", "FROM IMAGE [AS NAME]")
        return parts[0], parts[2].lower() if len(parts) == 3 else ""

    def _step(self, instruction: Instruction) -> None:
        if instruction.name == "FROM":
            self._from(instruction)
            return
        if instruction.name == "ARG":
            self._arg(instruction)
            return
        if self._stage is None:
            raise InvalidInput("no build stage in current context", "begin with FROM; only ARG may come before")
        stage, before = self._stage, len(self._stage.layers)
        if not instruction.text:
            raise InvalidInput(f"{instruction.name} requires at least one argument")
        allowed = _FLAGS.get(instruction.name, frozenset())
        for flag in instruction.flags:
            if flag not in allowed:
                raise InvalidInput(f"{instruction.name} --{flag} is not supported yet", "leave it out")
        step = self._steps.get(instruction.name)
        if step is None:
            known = ", ".join(sorted([*self._steps, "FROM", "ARG"]))
            raise InvalidInput(f"unknown instruction, or one that is not supported yet: {instruction.name}", f"known are {known}")
        step(instruction, stage)
        self._note(stage, instruction.shown, changed=len(stage.layers) > before)

    def _note(self, stage: Stage, text: str, *, changed: bool) -> None:
        step: dict[str, Any] = {"created": now(), "created_by": text, "comment": "rl build"}
        if not changed:
            step["empty_layer"] = True
        stage.config["history"] = [*(stage.config.get("history") or []), step]

    def _scope(self) -> dict[str, str]:
        assert self._stage is not None
        return {**self._variables, **self._stage.environment}

    def _from(self, instruction: Instruction) -> None:
        base, name = self._parts_of(instruction)
        earlier = self._stages.get(base.lower()) if not base.isdecimal() else None
        self._variables = {}
        if base == "scratch":
            self._stage = Stage(self._engine, None)
            machine = platform.of_machine()
            self._stage.config.update(architecture=machine.architecture, os=machine.os)
            self._note(self._stage, "FROM scratch", changed=True)
        elif earlier is not None:
            self._stage = earlier.copied()
        else:
            self._stage = Stage(self._engine, self._find_image(base))
        for key in filter(None, (str(self._number), name)):
            self._stages[key] = self._stage
        triggers = self._stage.settings.pop("OnBuild", None) or []
        for trigger in triggers:
            self._step(reader.read(trigger)[0])

    def _arg(self, instruction: Instruction) -> None:
        for word in instruction.arguments:
            name, equals, value = word.partition("=")
            scope = self._global if self._stage is None else self._scope()
            found = self._options.arguments.get(name)
            if found is None and equals:
                found = reader.expand(value, scope)
            if found is None and self._stage is not None:
                found = self._global.get(name)
            if found is not None:
                (self._global if self._stage is None else self._variables)[name] = found

    def _run(self, instruction: Instruction, stage: Stage) -> None:
        given = {name: value for name, value in self._options.arguments.items() if name.upper() in _PREDEFINED}
        variables = {**given, **{name: value for name, value in self._variables.items() if name not in stage.environment}}
        arguments = instruction.words or [*self._shell_of(stage), instruction.text]
        status = stage.run(arguments, variables)
        if status:
            raise RlError(f'process "{" ".join(arguments)}" did not complete successfully: exit code: {status}')

    def _copy(self, instruction: Instruction, stage: Stage) -> None:
        paths = instruction.words or reader.words(instruction.text)
        *sources, target = [reader.expand(path, self._scope()) for path in paths]
        if not sources:
            raise InvalidInput("COPY requires at least two arguments, but only one was provided", "COPY SOURCE... TARGET")
        origin = self._origin(instruction.flags.get("from"))
        if isinstance(origin, str):
            sources = [found for source in sources for found in self._matching(origin, source)]
        if len(sources) > 1 and not target.endswith("/"):
            raise InvalidInput(
                "when using COPY with more than one source file, the destination must be a directory and end with a /"
            )
        ends = "/" if target.endswith(("/", "/.")) or target == "." else ""
        target = os.path.normpath(os.path.join("/", stage.settings.get("WorkingDir") or "/", target))
        given = Given(reader.expand(instruction.flags.get("chown", ""), self._scope()), self._mode(instruction))
        for source in sources:
            stage.copy(origin, source, target if target == "/" else target + ends, given)

    def _mode(self, instruction: Instruction) -> int | None:
        text = reader.expand(instruction.flags.get("chmod", ""), self._scope())
        if not text:
            return None
        if len(text) > _MODE_DIGITS or not set(text) <= set("01234567"):
            raise InvalidInput(f"invalid chmod parameter: '{text}'", "it should be an octal string and between 0 and 07777")
        return int(text, 8)

    def _origin(self, name: str | None) -> "Stage | str":
        if name is None:
            return self._options.context
        found = self._stages.get(name.lower())
        if found is self._stage:
            raise InvalidInput(f"COPY --from={name} refers to its own stage", "name an earlier stage, or an image")
        return found or Stage(self._engine, self._find_image(name))

    def _matching(self, context: str, source: str) -> list[str]:
        if not glob.has_magic(source):
            return [source.lstrip("/") or "."]
        found = sorted(glob.glob(source.lstrip("/"), root_dir=context, include_hidden=True))
        if not found:
            raise InvalidInput(f'"{source}": not found', "no file of the context matches")
        return found

    def _env(self, instruction: Instruction, stage: Stage) -> None:
        merged = {**stage.environment, **_pairs(instruction, self._scope())}
        stage.settings["Env"] = [f"{name}={value}" for name, value in merged.items()]

    def _label(self, instruction: Instruction, stage: Stage) -> None:
        stage.settings["Labels"] = {**(stage.settings.get("Labels") or {}), **_pairs(instruction, self._scope())}

    def _workdir(self, instruction: Instruction, stage: Stage) -> None:
        before = stage.settings.get("WorkingDir") or "/"
        path = os.path.normpath(os.path.join("/", before, reader.expand(instruction.text, self._scope())))
        stage.settings["WorkingDir"] = path
        stage.make_folder(path)

    def _command(self, instruction: Instruction, stage: Stage) -> None:
        key = "Cmd" if instruction.name == "CMD" else "Entrypoint"
        stage.settings[key] = instruction.words or [*self._shell_of(stage), instruction.text]

    def _shell(self, instruction: Instruction, stage: Stage) -> None:
        if not instruction.words:
            raise InvalidInput("SHELL requires the arguments to be in JSON form", 'SHELL ["/bin/bash", "-c"]')
        stage.settings["Shell"] = instruction.words

    def _shell_of(self, stage: Stage) -> list[str]:
        return list(stage.settings.get("Shell") or _SHELL)

    def _healthcheck(self, instruction: Instruction, stage: Stage) -> None:
        stage.settings["Healthcheck"] = healthcheck.parse(instruction.text, instruction.flags, instruction.words[1:])

    def _change(self, instruction: Instruction, stage: Stage) -> None:
        apply_changes(stage.settings, [f"{instruction.name} {instruction.text}"])

    def _change_expanded(self, instruction: Instruction, stage: Stage) -> None:
        if not instruction.text.startswith("["):
            instruction = instruction._replace(text=reader.expand(instruction.text, self._scope()))
        self._change(instruction, stage)

    def _maintainer(self, instruction: Instruction, stage: Stage) -> None:
        stage.config["author"] = instruction.text


def _pairs(instruction: Instruction, scope: Mapping[str, str]) -> dict[str, str]:
    """Return what ENV or LABEL sets; its arguments are three a pair."""
    keys, values = instruction.arguments[::3], instruction.arguments[1::3]
    return {reader.expand(key, scope): reader.expand(value, scope) for key, value in zip(keys, values, strict=True)}
