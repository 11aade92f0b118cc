"""`--secret id=NAME[,src=FILE|,env=VARIABLE]`: what steps may have of the user's secrets."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from rootless.build.mount_flags import fields_of
from rootless.errors import InvalidInput, os_error_text

_LIMIT: Final = 500 << 10  # bytes, as BuildKit's
_KEYS: Final = {"id": "id", "src": "src", "source": "src", "env": "env", "type": "type"}


def read_secrets(entries: Sequence[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    """Return the secrets by ID. Raises `InvalidInput`, which never quotes one."""
    found: dict[str, bytes] = {}
    for entry in entries:
        fields: dict[str, str] = {}
        for field in fields_of(entry):
            key, equals, value = field.partition("=")
            if not equals or key.lower() not in _KEYS:
                raise InvalidInput(f"unexpected key '{key:.100}' in --secret", "--secret id=NAME,src=FILE or id=NAME,env=VARIABLE")
            fields[_KEYS[key.lower()]] = value
        name, kind = fields.get("id", ""), fields.get("type", "")
        if not name or kind not in ("", "file", "env"):
            raise InvalidInput(f"a secret needs an id, and its type is file or env: {entry:.100}", "--secret id=NAME,src=FILE")
        if kind == "env" and "src" in fields:
            fields["env"] = fields.pop("src")
        found[name] = _value(name, fields, environ, is_variable=kind == "env")
    return found


def _value(name: str, fields: Mapping[str, str], environ: Mapping[str, str], *, is_variable: bool) -> bytes:
    """Return what a secret holds; without a source it is a variable of its name, or else a file."""
    variable = fields.get("env") or (name if is_variable or ("src" not in fields and name in environ) else "")
    if variable:
        if variable not in environ:
            raise InvalidInput(f"secret {name}: the variable {variable} is not set", "set it, or give src=FILE")
        return os.fsencode(environ[variable])
    path = fields.get("src", name)
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError as error:
        raise InvalidInput(f"secret {name}: {os_error_text(error)}", "give --secret id=NAME,src=FILE") from error
    if len(data) > _LIMIT:
        raise InvalidInput(f"secret {name} is larger than {_LIMIT >> 10} KiB", "give a key to it instead")
    return data
