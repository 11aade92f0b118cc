"""Imports click without what it imports and we never use: 33 ms become 20, on every `rl`.

click needs `inspect` (with ast, dis and tokenize: 8 ms) for `cleandoc` and two type checks, `uuid` (with platform: 2 ms) for a
parameter type, `datetime`, whose Python half (1 ms) only matters where the C half is missing, and `gettext` (1 ms, and a search
for files at every message) for translations that it does not have. While click is being imported,
`sys.modules` has stand-ins for these; afterwards everybody else gets the real ones, and so does click for any attribute that the
stand-ins lack. If click changes so that this fails, tests/unit/cli/test_lean_click.py says so.

It also keeps the garbage collector from running during imports, which make no garbage (5 ms).
"""

import gc
import importlib
import sys
from _datetime import datetime as _datetime_class  # type: ignore[import-not-found]  # typeshed has the public module only
from types import FunctionType, ModuleType
from typing import Any

_LARGE_GENERATION = 50_000  # objects: more than the imports make, and few MiB


class _StandIn(ModuleType):
    """A module that imports the real one of its name when something else is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system itself
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def cleandoc(text: str) -> str:
    """Return a docstring without its indentation, as inspect.cleandoc does (PEP 257)."""
    lines = text.expandtabs().split("\n")
    indents = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    margin = min(indents, default=0)
    cleaned = [lines[0].lstrip(), *(line[margin:] for line in lines[1:])]
    return "\n".join(cleaned).strip("\n")


def _is_function(value: object) -> bool:
    return isinstance(value, FunctionType)


def _untranslated(text: str) -> str:
    return text


def _untranslated_plural(singular: str, plural: str, number: int) -> str:
    return singular if number == 1 else plural


def _stand_ins() -> dict[str, _StandIn]:
    made = {name: _StandIn(name) for name in ("inspect", "uuid", "datetime", "gettext")}
    vars(made["inspect"]).update(cleandoc=cleandoc, isfunction=_is_function)
    vars(made["uuid"]).update(UUID=object)  # click only names it in a type, as it is being imported
    vars(made["datetime"]).update(datetime=_datetime_class)
    vars(made["gettext"]).update(gettext=_untranslated, ngettext=_untranslated_plural)
    return made


def _import() -> None:
    made = {name: module for name, module in _stand_ins().items() if name not in sys.modules}
    sys.modules.update(made)
    try:
        importlib.import_module("click")
    finally:
        for name in made:
            del sys.modules[name]
    if "uuid" in made:
        del vars(made["uuid"])["UUID"]


gc.set_threshold(_LARGE_GENERATION)
_import()
