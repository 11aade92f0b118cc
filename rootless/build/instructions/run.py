"""RUN: a command in a container of the stage."""

from collections.abc import Callable
from typing import Final

from rootless.build.dockerfile.flags import did_you_mean
from rootless.build.instructions.settings import shell_of
from rootless.build.reader import Instruction
from rootless.build.stage_builder import StageBuilder
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput, RlError

_NETWORKS: Final = ("default", "none", "host")
_SECURITY: Final = ("sandbox", "insecure")


def _run(builder: StageBuilder, instruction: Instruction) -> None:
    stage = builder.stage
    arguments = instruction.words if instruction.is_json else [*shell_of(builder), instruction.text]
    own = {name: value for name, value in builder.variables.items() if name not in stage.environment}
    variables = {**builder.session.arguments.proxies, **own}
    if instruction.flags.get("mount"):
        raise InvalidInput("RUN --mount is not supported yet", "leave it out")
    options = CreateOptions(
        environment=tuple(f"{name}={value}" for name, value in variables.items()), network=_network(builder, instruction)
    )
    _check_security(instruction)
    status = stage.run(arguments, options, (own, options.network))
    if status:
        raise RlError(f'process "{" ".join(arguments)}" did not complete successfully: exit code: {status}')


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
