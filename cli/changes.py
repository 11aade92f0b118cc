"""Changes of file systems, as `rl diff` and `rl image diff` show them."""

import json
from collections.abc import Iterable
from typing import Final

from cli.tables import emit, for_output

_JSON_NAMES: Final = {"C": "changed", "A": "added", "D": "deleted"}


def show_changes(changes: Iterable[tuple[str, str]], form: str | None) -> None:
    """Print changes, each a kind (A, C or D) and a path: a line each as Docker does, or with `form` json as Podman does."""
    if form is None:
        for kind, path in changes:
            emit(for_output(f"{kind} {path}"))
        return
    found: dict[str, list[str]] = {}
    for kind, path in changes:
        found.setdefault(_JSON_NAMES[kind], []).append(path)
    emit(json.dumps({name: found[name] for name in _JSON_NAMES.values() if name in found}, indent=5))
