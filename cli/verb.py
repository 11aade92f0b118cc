"""Commands whose flags take values as Go's do, and verbs that report errors themselves."""

from typing import Any

import click

from cli.several import report
from rootless.errors import RlError

_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class GoFlags(click.Command):
    """A command whose on/off options may have a value."""

    def make_parser(self, ctx: click.Context) -> Any:
        """Return click's parser, which takes `--rm=true`, `--human=false` and the like, as Go's flags do.

        click's own on/off options have no value, and it has no public place to change that.
        """
        parser: Any = super().make_parser(ctx)
        match = parser._match_long_opt

        def match_with_value(name: str, text: str | None, state: Any) -> None:
            option = parser._long_opt.get(name) or parser._short_opt.get(name)
            value = None if text is None else _BOOLEANS.get(text.lower())
            if option is None or option.takes_value or value is None:
                match(name, text, state)
                return
            state.opts[option.dest] = value == option.const  # not, where the name is that of `off`
            state.order.append(option.obj)

        parser._match_long_opt = match_with_value
        return parser


class Verb(GoFlags):
    """A command that reports the engine's errors itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; returns its exit status."""
        try:
            return super().invoke(ctx)
        except RlError as error:
            return report(error)
