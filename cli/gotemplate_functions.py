"""The functions of `--format`: Go's own and Docker's (docker/cli, templates), and how Go prints values."""

import json as _json
from collections.abc import Callable, Mapping
from typing import Any, Final


def go_text(value: Any) -> str:
    """Return a value as Go's fmt.Print writes it: `[a b]`, `map[k:v]`, `true`, `<no value>`."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{go_text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(go_text(item) for item in value)}]"
    return str(value)


def is_true(value: Any) -> bool:
    """Tell whether `if` takes a value for true: not zero, not empty, not nil."""
    return bool(value)


def json_text(value: Any) -> str:
    """Return a value as JSON on one line; control characters of any kind are escaped, so that a terminal may show it."""
    return _json.dumps(plain(value), separators=(",", ":"), ensure_ascii=not _is_harmless(value))


def plain(value: Any) -> Any:
    """Return a value without its methods, with the lazy fields of a mapping resolved."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if not callable(item)}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _is_harmless(value: Any) -> bool:
    """Tell whether all text in a value is printable or escaped by JSON anyway (C0 controls); DEL, C1 and others are not."""
    text = _json.dumps(plain(value), ensure_ascii=False)
    return text.isprintable()


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple | str) and isinstance(key, int) and 0 <= key < len(value):
            value = value[key]
        elif value is None:
            raise ValueError("index of untyped nil")
        else:
            raise LookupError(f"index out of range: {go_text(key)}")
    return value


def _equal(first: Any, *others: Any) -> bool:
    return any(first == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if is_true(value)), values[-1])


def _print(*values: Any) -> str:
    """Go's Sprint: a space between two operands where neither is a string."""
    text = ""
    for position, value in enumerate(values):
        spaced = position > 0 and not isinstance(value, str) and not isinstance(values[position - 1], str)
        text += f" {go_text(value)}" if spaced else go_text(value)
    return text


def _printf(form: str, *values: Any) -> str:
    """Go's printf for %s %d %v %q %x %t %f with flags and width; Python's own knows the rest."""
    converted = tuple(
        value if isinstance(value, int | float) and not isinstance(value, bool) else go_text(value) for value in values
    )
    return form.replace("%v", "%s").replace("%t", "%s").replace("%q", '"%s"') % converted


def _truncate(text: str, width: int) -> str:
    return text[:width]


def _pad(text: str, before: int, after: int) -> str:
    return f"{' ' * before}{text}{' ' * after}" if text else text


def _slice(value: Any, *bounds: int) -> Any:
    return value[slice(*bounds)] if len(bounds) > 1 else value[bounds[0] if bounds else 0 :]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "and": _and,
    "eq": _equal,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "index": _index,
    "join": lambda items, separator: separator.join(map(go_text, items or ())),
    "json": json_text,
    "le": lambda a, b: a <= b,
    "len": lambda value: len(value if value is not None else ()),
    "lower": lambda text: str(text).lower(),
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: a != b,
    "not": lambda value: not is_true(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(go_text, values)) + "\n",
    "slice": _slice,
    "split": lambda text, separator: str(text).split(separator),
    "title": lambda text: str(text).title(),
    "truncate": _truncate,
    "upper": lambda text: str(text).upper(),
}
