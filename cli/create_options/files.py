"""Options of the container's files: its root, and what is mounted there."""

import os
from typing import TYPE_CHECKING, Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

if TYPE_CHECKING:
    from rootless.containers.mount_request import MountRequest
    from rootless.containers.secret_options import SecretRequest

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-v", "--volume", "volumes", multiple=True, metavar="[SOURCE:]TARGET[:OPTIONS]", help="Mount a folder or volume."),
    click.option("--mount", "mounts", multiple=True, metavar="type=bind|volume|tmpfs|image,…", help="Mount, in the long form."),
    click.option("--tmpfs", multiple=True, metavar="TARGET[:OPTIONS]", help="Mount an empty folder in memory."),
    click.option("--volumes-from", multiple=True, metavar="CONTAINER[:ro|rw]", help="Mount what another container has mounted."),
    click.option("--secret", "secrets", multiple=True, metavar="NAME[,type=mount|env][,…]", help="Give it a secret."),
    click.option("--shm-size", metavar="SIZE", help="The size of /dev/shm (default: 64m)."),
    click.option("--read-only", is_flag=True, help="Make the container's root read-only."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    return options._replace(
        mounts=tuple(_mounts(given)),
        volumes_from=given.texts("volumes_from"),
        secrets=_secrets(given),
        shm_size=_shm_size(given) or options.shm_size,
        read_only=given.flag("read_only"),
    )


def _secrets(given: Given) -> "tuple[SecretRequest, ...]":
    texts = given.texts("secrets")
    if not texts:
        return ()
    from rootless.containers.secret_options import parse_secret  # only where they are given

    return tuple(map(parse_secret, texts))


def _shm_size(given: Given) -> int | None:
    """Return bytes; None, and as in Docker 0, mean the default."""
    text = given.text("shm_size")
    if text is None:
        return None
    from rootless.containers.mount_request import parse_size  # only where it is given

    return parse_size(text, "shm-size")


def _mounts(given: Given) -> "list[MountRequest]":
    volumes, mounts, tmpfs = given.texts("volumes"), given.texts("mounts"), given.texts("tmpfs")
    requests: list[MountRequest] = []
    if volumes or tmpfs:
        from rootless.containers.mount_options import parse_tmpfs, parse_volume  # only where they are given

        requests += [*(parse_volume(text, _working_folder()) for text in volumes), *map(parse_tmpfs, tmpfs)]
    if mounts:
        from rootless.containers.mount_long_form import parse_mount  # likewise

        requests += [parse_mount(text, _working_folder()) for text in mounts]
    return requests


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us: relative sources are looked for in /
        return "/"
