"""`rl oci spec`: a config.json to begin with."""

import json
import os

import click

from cli.oci_verb import OciVerb, Settings
from rootless.errors import InUse
from rootless.runtime.config import FILE
from rootless.runtime.oci.template import template


@click.command(cls=OciVerb)
@click.option("-b", "--bundle", default=".", metavar="DIR", help="The bundle's folder (default: the current one).")
@click.option("--rootless", is_flag=True, help="For a user without subordinate IDs: one ID is mapped.")
def command(_settings: Settings, bundle: str, rootless: bool) -> None:
    """Write a config.json with Docker's defaults for a shell in `rootfs`; one that is there stays."""
    path = os.path.join(bundle, FILE)
    content = json.dumps(template(os.geteuid(), os.getegid(), rootless=rootless), indent=4) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise InUse(f"{path} exists already", "remove it first") from None
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
