"""Sizes as Docker writes them (docker/go-units, HumanSizeWithPrecision)."""

from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def human_size(count: int, digits: int = 3) -> str:
    """Return a number of bytes with a decimal unit: `4.26MB`, `124MB`, `0B`."""
    value = float(count)
    unit = 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    text = f"{value:.{digits}g}"
    return f"{float(text):g}{_UNITS[unit]}"
