"""Commands whose flags take values as Go's do, and verbs that report errors themselves."""

from typing import Any

import click

from cli.several import report
from rootless.errors import RlError

_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class GoFlags(click.Command):
    """A command whose on/off options may have a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `--human=false` and the like, as Go's flags do: click's on/off options have no value."""
        options = [one for one in self.params if isinstance(one, click.Option) and one.is_flag]
        names = {name: option for option in options for name in option.opts}
        rewritten: list[str] = []
        for position, argument in enumerate(args):
            if argument == "--":
                rewritten += args[position:]
                break
            name, separator, value = argument.partition("=")
            wanted = _BOOLEANS.get(value.lower()) if separator else None
            if name in names and wanted is not None:
                rewritten += [name] if wanted else names[name].secondary_opts[:1]
            else:
                rewritten.append(argument)
        return super().parse_args(ctx, rewritten)


class Verb(GoFlags):
    """A command that reports the engine's errors itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; returns its exit status."""
        try:
            return super().invoke(ctx)
        except RlError as error:
            return report(error)
