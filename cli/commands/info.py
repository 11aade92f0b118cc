"""`rl info`: this node and what the engine has on it."""

import os
from typing import Any

import click

from cli.commands.version import engine_version
from cli.formats import pretty_json, show_object
from cli.tables import emit, printable
from cli.verb import GoFlags
from rootless.containers.documents import has_begun
from rootless.containers.store import ContainerStore
from rootless.images.store import ImageStore
from rootless.locations import Locations, from_environment


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
def command(*, form: str | None) -> None:
    """Show what the engine has and uses on this node."""
    found = collect(from_environment(os.environ, os.geteuid()))
    if form == "json":
        emit(pretty_json(found))
    elif form:
        show_object(form, found)
    else:
        emit(_text(found))


def collect(locations: Locations) -> dict[str, Any]:
    """Return Docker's JSON of `docker info`, as far as it means something here."""
    states = [document["State"] for document in ContainerStore(locations).list()]
    system = os.uname()
    return {
        "Containers": len(states),
        "ContainersRunning": sum(has_begun(state) for state in states),
        "ContainersPaused": sum(state["Paused"] for state in states),
        "ContainersStopped": sum(not has_begun(state) for state in states),
        "Images": len(ImageStore(locations).list()),
        "Driver": _driver(locations),
        "LoggingDriver": "json-file",
        "CgroupVersion": "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1",
        "KernelVersion": system.release,
        "OperatingSystem": _operating_system(),
        "OSType": system.sysname.lower(),
        "Architecture": system.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": system.nodename,
        "DockerRootDir": locations.data_root,
        "RuntimeDir": locations.runtime_dir,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "DefaultRuntime": "rl",
        "ServerVersion": engine_version(),
        "Warnings": [],
    }


def _driver(locations: Locations) -> str:
    """Return the storage driver that the next container gets: what was asked for, or what the last probe here found."""
    wanted = os.environ.get("RL_STORAGE_DRIVER")
    if wanted:
        return wanted
    import json

    try:
        with open(f"{locations.data_root}/storage-driver.json", "rb") as file:
            return str(json.loads(file.read())["driver"])
    except (FileNotFoundError, ValueError, KeyError):
        return "not chosen yet"  # a probe starts processes and mounts: nothing for a verb that only looks


def _operating_system() -> str:
    """Return PRETTY_NAME of os-release(5)."""
    import platform

    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:  # a distribution without the file
        return "Linux"


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"Containers: {found['Containers']}",
        f" Running: {found['ContainersRunning']}",
        f" Paused: {found['ContainersPaused']}",
        f" Stopped: {found['ContainersStopped']}",
        f"Images: {found['Images']}",
        f"Server Version: {found['ServerVersion']}",
        f"Storage Driver: {found['Driver']}",
        f"Logging Driver: {found['LoggingDriver']}",
        f"Cgroup Version: {found['CgroupVersion']}",
        "Security Options:",
        *(f" {option.removeprefix('name=')}" for option in found["SecurityOptions"]),
        f"Kernel Version: {found['KernelVersion']}",
        f"Operating System: {found['OperatingSystem']}",
        f"OSType: {found['OSType']}",
        f"Architecture: {found['Architecture']}",
        f"CPUs: {found['NCPU']}",
        f"Total Memory: {found['MemTotal'] / (1 << 30):.4g}GiB",
        f"Name: {found['Name']}",
        f"Docker Root Dir: {found['DockerRootDir']}",
        f"Runtime Dir: {found['RuntimeDir']}",
    ]
    return "\n".join(map(printable, lines))
