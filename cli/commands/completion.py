"""`rl completion`: set a shell up to complete commands, options and names."""

import click

from cli import completion
from cli.tables import emit
from cli.verb import GoFlags


@click.command(cls=GoFlags)
@click.argument("shell", metavar="bash|zsh|fish")
@click.pass_context
def command(context: click.Context, /, *, shell: str) -> None:
    """Print what SHELL is to read to complete rl's commands, options and the names of containers, images, volumes and secrets.

    bash: source <(rl completion bash). zsh: the same, after compinit. fish: rl completion fish | source.
    """
    emit(completion.script(shell, context.find_root().command))
