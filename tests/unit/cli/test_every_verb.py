"""The tables of verbs: each names a module that is there, so that `rl --help` works."""

from collections.abc import Iterator

import click

from cli.program import rl
from cli.verb import GoFlags


def test_every_verb_can_be_loaded_and_says_what_it_does() -> None:
    commands = dict(_all_commands(rl, "rl"))
    assert len(commands) > 50
    for name, command in commands.items():
        context = click.Context(command, info_name=name)
        assert command.get_help(context).startswith(f"Usage: {name}")
        assert command.get_short_help_str(), name


def _all_commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _all_commands(command, f"{path} {name}")


def test_every_verb_takes_on_and_off_with_values() -> None:
    others = [name for name, command in _all_commands(rl, "rl") if not isinstance(command, GoFlags | click.Group)]
    assert [name for name in others if not name.startswith("rl oci ")] == []  # which has runc's command line
