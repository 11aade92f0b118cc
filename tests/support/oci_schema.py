"""The schema of the runtime specification, property by property; it lies beside the clone, where there is one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = os.path.join(os.path.dirname(__file__), "../../../shared/reference/oci-schemas/runtime")
CONFIG = "config-schema.json"
OTHER_PLATFORMS = ("freebsd", "solaris", "vm", "windows", "zos")

Schema = dict[str, Any]


def load() -> dict[str, Schema]:
    """Return the files by name."""
    names = [name for name in os.listdir(FOLDER) if name.endswith(".json")]
    return {name: json.loads(Path(FOLDER, name).read_text()) for name in names}


def resolve(files: dict[str, Schema], schema: Schema, file: str) -> tuple[Schema, str]:
    """Return what a schema refers to, and the file that references in there are relative to."""
    while "$ref" in schema:
        target, _, pointer = schema["$ref"].partition("#")
        file = target or file
        schema = files[file]
        for part in pointer.strip("/").split("/"):
            schema = schema[part]
    return schema, file


def properties(files: dict[str, Schema], schema: Schema, file: str, place: str = "") -> Iterator[tuple[str, Schema, str]]:
    """Yield each property of Linux: its place, as `mounts[0].options` or `linux.sysctl[k]`, its schema, and its file."""
    schema, file = resolve(files, schema, file)
    if place:
        yield place, schema, file
    for part in [*schema.get("allOf", ()), *schema.get("anyOf", ())]:
        yield from properties(files, part, file, place)
    for name, one in schema.get("properties", {}).items():
        if place or name not in OTHER_PLATFORMS:
            yield from properties(files, one, file, f"{place}.{name}".lstrip("."))
    if "items" in schema:
        yield from properties(files, schema["items"], file, f"{place}[0]")
    members = [schema[key] for key in ("additionalProperties",) if isinstance(schema.get(key), dict)]
    for one in [*members, *schema.get("patternProperties", {}).values()]:
        yield from properties(files, one, file, f"{place}[k]")
