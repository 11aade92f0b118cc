"""What `rl` says on standard error: `rl: …`, and a hint on a line of its own. Nothing in it can drive the terminal.

Names, commands and labels of images, and what registries answer, are part of such texts.
"""

import sys

from cli.tables import printable


def complain(message: str, hint: str | None = None, *, kind: str = "") -> None:
    """Write a message, which may have several lines, and a hint. `kind` is a word before it: `warning`."""
    prefix = f"rl: {kind}: " if kind else "rl: "
    lines = [f"{prefix}{message}", *([f"hint: {hint}"] if hint else [])]
    text = "\n".join(printable(line) for line in "\n".join(lines).split("\n"))
    print(text, file=sys.stderr)  # noqa: T201
