"""JSON that others wrote: manifests, indexes and configs of registries and archives."""

import json
from typing import Any, Final

from rootless.errors import CorruptImage

# The real ones have less than ten levels. More would be read here and fail later, with another depth of the interpreter's stack.
_MAX_DEPTH: Final = 100


def parse(content: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; `what` it is, for the error. Raises `CorruptImage`."""
    document = load(content, what)
    if not isinstance(document, dict):
        raise CorruptImage(f"{what} is not a JSON object")
    return document


def load(content: bytes, what: str) -> Any:
    """Return any JSON value. Raises as `parse`."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptImage(f"{what} is not JSON: {error}") from error
    if _is_too_deep(document):
        raise CorruptImage(f"{what} is nested more than {_MAX_DEPTH} levels deep")
    return document


def _is_too_deep(document: Any) -> bool:
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(_MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True
