"""JSON without the package `json`, whose import of `re` and `enum` costs more memory than all of this program.

The C parts that do the work in `json` can be used by themselves; where they are absent (another Python than CPython), `json` is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Context:
    """What the C scanner takes its settings from (`json.decoder.JSONDecoder`)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _make_parser() -> Callable[[str], Any]:
    try:
        from _json import make_scanner
    except ImportError:
        from json import loads

        return loads
    scan = make_scanner(_Context)  # type: ignore[arg-type]  # it takes any object with these attributes

    def parse(text: str) -> Any:
        value, end = scan(text, 0)
        if end != len(text):
            raise ValueError("more than one JSON value")
        return value

    return parse


_parse = _make_parser()


def parse_object(packet: bytes) -> dict[str, Any]:
    """Return the JSON object that is the whole packet. Raises `ValueError`."""
    try:
        value = _parse(packet.decode())
    except StopIteration:
        raise ValueError("not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one error for everything that is not what was asked for
    return value


def emit_object(fields: dict[str, Any]) -> bytes:
    """Return a JSON object of strings, integers, booleans and such objects."""
    return _emit(fields).encode()


def _emit(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_emit(key)}: {_emit(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return '"' + "".join(_ESCAPED.get(character, character) for character in value) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


_ESCAPED = {chr(code): f"\\u{code:04x}" for code in (*range(0x20), 0x22, 0x5C)}
