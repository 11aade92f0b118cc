"""What a user may ask of a new container, parsed; the syntax of the parts is in the modules beside."""

from typing import Final, NamedTuple

from rootless.containers.mount_request import MountRequest
from rootless.containers.secret_options import SecretRequest

SHM_SIZE: Final = 64 << 20


class CreateOptions(NamedTuple):
    """Options of `rl run` and `rl create`; `None` and empty mean what the image says."""

    arguments: tuple[str, ...] = ()
    name: str | None = None
    interactive: bool = False
    terminal: bool = False
    remove: bool = False
    environment: tuple[str, ...] = ()  # NAME=VALUE
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    hostname: str | None = None
    network: str = "slirp"
    mounts: tuple[MountRequest, ...] = ()
    volumes_from: tuple[str, ...] = ()  # CONTAINER[:ro|rw]
    secrets: tuple[SecretRequest, ...] = ()
    shm_size: int = SHM_SIZE  # bytes of /dev/shm
    read_only: bool = False
    init: bool = False
    init_path: str | None = None  # on the node; None: our own
    attach: bool = True
