"""Groups of verbs whose commands are imported by name, so that `rl ps` does not pay for `rl pull`."""

import importlib
import os
from collections.abc import Mapping
from typing import Any

import click

from cli.invocation import Invocation

_COMPLETE = "_RL_COMPLETE"


class LazyGroup(click.Group):
    """A group over a table: verb -> module under cli.commands, each with its click command as `command`."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all verbs, sorted."""
        return sorted(self._modules)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Note which verb is called, for the exit status of an error (see `cli.program`)."""
        found = super().resolve_command(ctx, args)
        invocation = ctx.find_root().obj
        if isinstance(invocation, Invocation):
            invocation.called.append(str(found[0]))
        return found

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command of one verb, or None for an unknown one."""
        module = self._modules.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(f"cli.commands.{module}").command
        if _COMPLETE in os.environ:  # a shell asks what a word may become
            from cli.completion import add_names

            return add_names(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Return the verbs, or options, that begin so."""
        from cli.completion import complete_verbs  # only when a shell asks

        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*complete_verbs(self.list_commands(ctx), incomplete), *options]
