"""`rl version`: which program this is."""

import os
import platform
from typing import Any

import click

from cli.formats import pretty_json, show_object
from cli.tables import emit, printable
from cli.verb import GoFlags

API_VERSION = "1.47"
"""The version of Docker's API whose JSON shapes are shown."""


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
def command(*, form: str | None) -> None:
    """Show the versions of rl and what it runs on."""
    versions = collect()
    if form == "json":
        emit(pretty_json(versions))
    elif form:
        show_object(form, versions)
    else:
        emit(_text(versions["Client"]))


def engine_version() -> str:
    """Return the installed version of rl, or `unknown` where it runs from a folder that is not installed."""
    from importlib import metadata  # 20 ms, for this verb and `info` only

    try:
        return metadata.version("rl")
    except metadata.PackageNotFoundError:
        return "unknown"


def collect() -> dict[str, Any]:
    """Return Docker's JSON. There is no daemon: `Server` says the same as `Client`, for programs that ask for it."""
    system = os.uname()
    versions = {
        "Version": engine_version(),
        "ApiVersion": API_VERSION,
        "PythonVersion": platform.python_version(),
        "Os": system.sysname.lower(),
        "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(system.machine, system.machine),
        "KernelVersion": system.release,
    }
    return {"Client": {"Platform": {"Name": "rl"}, **versions}, "Server": {"Platform": {"Name": "rl (no daemon)"}, **versions}}


def _text(client: dict[str, Any]) -> str:
    rows = {
        "Version": client["Version"],
        "API version": client["ApiVersion"],
        "Python version": client["PythonVersion"],
        "Kernel": client["KernelVersion"],
        "OS/Arch": f"{client['Os']}/{client['Arch']}",
    }
    return "\n".join(["rl (no daemon):", *(f" {name + ':':<19}{printable(str(value))}" for name, value in rows.items())])
