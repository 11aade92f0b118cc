"""`rl port`: where the ports of a running container are published."""

import os
from collections.abc import Mapping
from typing import Any

import click

from cli.verb import GoFlags
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment
from rootless.networks.publishing import endpoint


@click.command(cls=GoFlags)
@click.option("-a", "--all", "shows_all", is_flag=True, help="Show the ports of all running containers.")
@click.argument("container", required=False)
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
def command(*, container: str | None, port: str | None, shows_all: bool) -> None:
    """Show where the ports of a container, or one of them, are published."""
    store = ContainerStore(from_environment(os.environ, os.geteuid()))
    if shows_all:
        if container is not None:
            raise InvalidInput("--all and a container exclude each other", "leave one of them out")
        for document in store.list():
            for line in _lines(_ports(document)):
                click.echo(f"{document['Id'][:12]}\t{line}")
        return
    if container is None:
        raise InvalidInput("no container is named", "give one, or --all")
    ports = _ports(store.find(container))
    if port is None:
        for line in _lines(ports):
            click.echo(line)
        return
    wanted = port if "/" in port else f"{port}/tcp"
    if wanted not in ports:
        raise NoSuchObject(f"No public port '{wanted}' published for {container}", f"see what is published: rl port {container}")
    for binding in ports[wanted]:
        click.echo(endpoint(binding))


def _ports(document: Mapping[str, Any]) -> dict[str, Any]:
    found = document["NetworkSettings"].get("Ports") if document["State"]["Running"] else None
    return {port: bindings for port, bindings in (found or {}).items() if bindings}


def _lines(ports: Mapping[str, Any]) -> list[str]:
    ordered = sorted(ports, key=lambda port: (int(port.partition("/")[0]), port))
    return [f"{port} -> {endpoint(binding)}" for port in ordered for binding in ports[port]]
