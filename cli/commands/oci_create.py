"""`rl oci create`: make a container from a bundle; its command waits for `start`."""

import os
from typing import Any

import click

from cli.oci_verb import OciVerb, Settings, seccomp_cache
from rootless.runtime.config import FILE
from rootless.runtime.oci import bundle as bundles
from rootless.runtime.oci import resources
from rootless.runtime.oci.create import Container, CreateOptions, create


def create_options(function: Any) -> Any:
    """Add the options that `create` and `run` share."""
    for option in (
        click.option("-b", "--bundle", default=".", metavar="DIR", help="The bundle's folder (default: the current one)."),
        click.option("-f", "--config", default=FILE, metavar="FILE", help="The config's name in the bundle."),
        click.option("--console-socket", metavar="PATH", help="A socket that gets the master of the container's terminal."),
        click.option("--pid-file", metavar="FILE", help="Write the container's PID to a file."),
        click.option("--preserve-fds", type=click.IntRange(0), default=0, metavar="N", help="Pass N descriptors from 3 on."),
        click.option("--no-pivot", is_flag=True, help="Do not use pivot_root: for a root on the initial ramfs."),
    ):
        function = option(function)
    return function


def make(settings: Settings, container_id: str, given: dict[str, Any]) -> Container:
    """Make the container that `create_options` describe."""
    folder = settings.folder(container_id)
    options = CreateOptions(
        console_socket=given["console_socket"],
        pid_file=given["pid_file"],
        preserve_fds=given["preserve_fds"],
        pivot=not given["no_pivot"],
        cgroups=settings.cgroups,
        seccomp_cache=seccomp_cache(),
    )
    bundle = bundles.read(given["bundle"], given["config"])
    limits = resources.check(bundle.spec["linux"].get("resources") or {}, disabled=not settings.cgroups)
    for warning in (*bundle.warnings, *limits):
        settings.warn(f"{given['config']}: {warning}")
    return create(folder, bundle, options, os.environ)


@click.command(cls=OciVerb)
@create_options
@click.argument("container_id", metavar="ID")
def command(settings: Settings, container_id: str, **given: Any) -> int:
    """Make the container ID from a bundle, and leave its command waiting for `start`."""
    container = make(settings, container_id, given)
    if container.master is not None:
        from rootless.runtime.oci import operations

        operations.delete(container.folder, os.environ, settings.warn, force=True)
        return settings.fail("process.terminal needs --console-socket", "or use rl oci run in the foreground")
    return 0
