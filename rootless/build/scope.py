"""The variables of a build: arguments that the user gives, those of the platforms, and ARGs before the first FROM.

A stage sees ARGs from where they are named in it; ENV goes before them (Dockerfile reference, "Using ARG variables").
"""

from collections.abc import Mapping
from typing import Final

from rootless.build.reader import Instruction
from rootless.images import platform
from rootless.images.platform import Platform

_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})


class Arguments:
    """The arguments of one build; `global_ones` are seen by every FROM, and by an ARG of a stage that has no value of its own."""

    def __init__(self, given: Mapping[str, str], wanted: Platform | None, target: str) -> None:
        self.given = given
        machine = platform.of_machine()
        known = _of_platform("TARGET", wanted or machine) | _of_platform("BUILD", machine)
        self.global_ones: dict[str, str] = {
            name: given.get(name, value) for name, value in {**known, "TARGETSTAGE": target or "default"}.items()
        }

    @property
    def proxies(self) -> dict[str, str]:
        """Those that every RUN has without an ARG, and that neither history nor cache know."""
        return {name: value for name, value in self.given.items() if name.upper() in _PROXIES}

    def take_global(self, instruction: Instruction) -> None:
        """Take an ARG before the first FROM. Raises `ExpansionError`."""
        self._take(instruction, self.global_ones, self.global_ones)

    def take(self, instruction: Instruction, variables: dict[str, str], environment: Mapping[str, str]) -> None:
        """Take an ARG of a stage with the `variables` of its ARGs so far. Raises `ExpansionError`."""
        self._take(instruction, variables, environment)

    def _take(self, instruction: Instruction, variables: dict[str, str], environment: Mapping[str, str]) -> None:
        for word in instruction.arguments:
            name, equals, value = word.partition("=")
            name = instruction.expand(name, {**variables, **environment})
            found = self.given.get(name)
            if found is None and equals:
                found = instruction.expand(value, {**variables, **environment})
            if found is None:
                found = self.global_ones.get(name)
            if found is not None:
                variables[name] = found


def _of_platform(prefix: str, one: Platform) -> dict[str, str]:
    parts = {"PLATFORM": str(one), "OS": one.os, "ARCH": one.architecture, "VARIANT": one.variant}
    return {prefix + name: value for name, value in parts.items()}
