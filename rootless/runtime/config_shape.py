"""Shapes of JSON values: what a table such as `config_schema` is made of.

A shape is a function that takes a value and its place (`process.rlimits[0].type`), and returns the value as the engine uses it:
without properties that are null, which Go's encoders write for what is absent. Properties that a shape does not know stay, as the
specification has it ("Extensibility"). `Malformed` names the place and what is wrong there.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Shape: TypeAlias = Callable[[Any, str], Any]

_SHOWN = 60  # characters of a wrong value


class Malformed(ValueError):
    """A value at `place` is not what it must be."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(place, problem)
        self.place = place
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" if self.place else self.problem


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array", dict: "an object"}
    return names[type(value)]


def shown(value: object) -> str:
    """Return a value as an error shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def wrong_kind(place: str, wanted: str, value: object) -> Malformed:
    """Return the error for a value of another JSON type."""
    return Malformed(place, f"must be {wanted}, not {_kind_of(value)}")


def text(value: Any, place: str) -> str:
    """Check a string that can go to the kernel: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        raise wrong_kind(place, "a string", value)
    if "\0" in value:
        raise Malformed(place, "must not hold a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed(place, "is not text: half of a surrogate pair") from None
    return value


def boolean(value: Any, place: str) -> bool:
    """Check a boolean."""
    if not isinstance(value, bool):
        raise wrong_kind(place, "true or false", value)
    return value


def integer(low: int, high: int) -> Shape:
    """Return the shape of a number without a fraction, in a range."""

    def check(value: Any, place: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_kind(place, "a number", value)
        if not isinstance(value, int) or not low <= value <= high:
            raise Malformed(place, f"must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    return check


def choice(*names: str) -> Shape:
    """Return the shape of one of some strings."""

    def check(value: Any, place: str) -> str:
        if text(value, place) not in names:
            raise Malformed(place, f"must be one of {', '.join(names)}, not {shown(value)}")
        return str(value)

    return check


def text_with(condition: Callable[[str], bool], wanted: str) -> Shape:
    """Return the shape of a string for which a condition holds; `wanted` says it in words."""

    def check(value: Any, place: str) -> str:
        if not condition(text(value, place)):
            raise Malformed(place, f"must be {wanted}, not {shown(value)}")
        return str(value)

    return check


def array(item: Shape, least: int = 0) -> Shape:
    """Return the shape of an array."""

    def check(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise wrong_kind(place, "an array", value)
        if len(value) < least:
            raise Malformed(place, "must not be empty")
        return [item(one, f"{place}[{index}]") for index, one in enumerate(value)]

    return check


def mapping(item: Shape) -> Shape:
    """Return the shape of an object whose names are the user's, and whose values have one shape."""

    def check(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_kind(place, "an object", value)
        return {text(name, place): item(one, f"{place}[{name}]") for name, one in value.items()}

    return check


def record(fields: Mapping[str, Shape], required: tuple[str, ...] = ()) -> Shape:
    """Return the shape of an object with known properties; null counts as absent."""

    def check(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_kind(place, "an object", value)
        result = {name: one for name, one in value.items() if one is not None}
        prefix = f"{place}." if place else ""
        for name in required:
            if name not in result:
                raise Malformed(f"{prefix}{name}", "is missing")
        for name in fields.keys() & result.keys():
            result[name] = fields[name](result[name], f"{prefix}{name}")
        return result

    return check
