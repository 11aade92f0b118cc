"""What was given on the command line, by option and with its type."""

from collections.abc import Callable
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What click.option returns."""


class Given:
    """Values of click's options, by their Python names."""

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return bool(self._values[name])

    def text(self, name: str) -> str | None:
        """Return the value of an option, None where it was not given."""
        value = self._values[name]
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        """Return the value of an option with `type=int`, None where it was not given."""
        value = self._values[name]
        return value if isinstance(value, int) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of an option that may be given several times."""
        values = self._values[name]
        assert isinstance(values, tuple)
        return values
