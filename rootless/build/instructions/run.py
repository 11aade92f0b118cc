"""RUN: a command in a container of the stage."""

import contextlib
import os
from collections.abc import Callable
from typing import Any, Final

from rootless.build.dockerfile.flags import did_you_mean
from rootless.build.dockerfile.heredocs import heredoc_of_word
from rootless.build.instructions.settings import shell_of
from rootless.build.reader import Instruction
from rootless.build.run_mounts import resolve_mounts
from rootless.build.stage_builder import StageBuilder
from rootless.containers.mount_request import BIND, MountRequest
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput, RlError

_NETWORKS: Final = ("default", "none", "host")
_SECURITY: Final = ("sandbox", "insecure")


def _run(builder: StageBuilder, instruction: Instruction) -> None:
    stage = builder.stage
    arguments, script = _command(builder, instruction)
    own = {name: value for name, value in builder.variables.items() if name not in stage.environment}
    variables = {**builder.session.arguments.proxies, **own}
    network = _network(builder, instruction)
    _check_security(instruction)
    with contextlib.ExitStack() as stack:
        mounts = resolve_mounts(builder, instruction, stack)
        steps = builder.engine.steps
        options = steps._replace(
            environment=(*mounts.environment, *(f"{name}={value}" for name, value in variables.items())),
            network=network,
            mounts=(*script, *mounts.requests, *steps.mounts),
            secrets=tuple(mounts.secrets),
        )
        key = (own, network, [document.content for document in instruction.heredocs], mounts.key, _asked(steps))
        status = stage.run(arguments, options, key, [*mounts.places, *(one.target for one in steps.mounts)])
    if status:
        raise RlError(f'process "{" ".join(arguments):.2000}" did not complete successfully: exit code: {status}')


def _command(builder: StageBuilder, instruction: Instruction) -> tuple[list[str], tuple[MountRequest, ...]]:
    """Return the words of the command, and where it is a script of its own (`#!`), the mount of that."""
    if instruction.is_json:
        return instruction.words, ()
    documents = instruction.heredocs
    if len(documents) == 1 and heredoc_of_word(instruction.text) is not None:
        text = documents[0].text
        if not text.startswith("#!"):
            return [*shell_of(builder), text], ()
        path = f"{builder.session.new_folder()}/script"
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        os.chmod(path, 0o755)  # noqa: S103 - any user of the container may run it
        place = f"/dev/pipes/{documents[0].name.replace('/', '_')}"
        return [place], (MountRequest(BIND, path, place, ("bind", "ro"), read_only=True),)
    lines = [instruction.text, *(f"{document.content}{document.name}" for document in documents)]
    return [*shell_of(builder), "\n".join(lines)], ()


def _asked(steps: CreateOptions) -> list[Any]:
    """Return what of the options of all steps their outcome depends on: names of hosts, and what is mounted."""
    hosts = [value for name, value in steps.host_config if name == "ExtraHosts" and value]
    return [*hosts, *([mount.source, mount.target] for mount in steps.mounts)]


def _network(builder: StageBuilder, instruction: Instruction) -> str:
    """Return the network of a step's container: `default` is that of the build."""
    asked = instruction.flag("network") or "default"
    if asked not in _NETWORKS:
        raise InvalidInput(f'unsupported network mode "{asked:.100}"' + did_you_mean(asked, _NETWORKS))
    return builder.engine.network if asked == "default" else asked


def _check_security(instruction: Instruction) -> None:
    asked = instruction.flag("security") or "sandbox"
    if asked not in _SECURITY:
        raise InvalidInput(f'security "{asked:.100}" is not valid' + did_you_mean(asked, _SECURITY))
    if asked == "insecure":
        raise InvalidInput("security.insecure is not allowed", "steps have the security of containers; leave it out")


STEPS: Final[dict[str, Callable[[StageBuilder, Instruction], None]]] = {"RUN": _run}
