"""What a user may ask of a new container, parsed; the syntax of the parts is in the modules beside."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rootless.containers.namespace_modes import NamespaceModes

if TYPE_CHECKING:  # not loaded by a plain run
    from rootless.containers.health_options import HealthOptions
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
    namespaces: NamespaceModes = NamespaceModes()
    mounts: "tuple[MountRequest, ...]" = ()
    volumes_from: tuple[str, ...] = ()  # CONTAINER[:ro|rw]
    secrets: "tuple[SecretRequest, ...]" = ()
    pull: str = "missing"  # always, missing, never, newer
    pulls_quietly: bool = False
    platform: str | None = None  # OS/ARCH[/VARIANT]
    shm_size: int = SHM_SIZE  # bytes of /dev/shm
    read_only: bool = False
    init: bool = False
    init_path: str | None = None  # on the node; None: our own
    runtime: str = "rl"  # an OCI runtime's name or path
    attach: bool = True
    attached: tuple[str, ...] = ()  # stdin, stdout, stderr; empty: output and errors, and with `interactive` input
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    replace: bool = False
    cid_file: str = ""
    pid_file: str = ""
    restart_policy: dict[str, Any] | None = None  # HostConfig.RestartPolicy
    stop_signal: str | None = None
    stop_timeout: int | None = None
    health: "HealthOptions | None" = None
    health_on_failure: str = "none"
    host_config: tuple[tuple[str, Any], ...] = ()  # fields of HostConfig, as the modules of options parse them
    config: tuple[tuple[str, Any], ...] = ()  # fields of Config, likewise
    exposed_ports: tuple[str, ...] = ()  # PORT/PROTOCOL
    makes_hosts: bool = True
    makes_resolv_conf: bool = True
    host_environment: tuple[str, ...] = ()  # NAME=VALUE, below the image's
    unset: tuple[str, ...] = ()  # names of the image's and our own variables that it does not get
    unset_all: bool = False
    merged_environment: tuple[str, ...] = ()  # NAME=VALUE with ${NAME}, over the image's
    ends_with_us: bool = False  # it is ended and removed when the process that makes it ends
    pod_name: str | None = None  # --pod, as given
    pod: dict[str, Any] | None = None  # Rl.Pod of the record
    log_driver: str | None = None
    log_options: tuple[tuple[str, str], ...] = ()
    given: dict[str, Any] | None = None  # Folder, Options, Command: the command line that all this comes from

    def attaches(self, stream: str) -> bool:
        """Tell whether a command that attaches wants stdin, stdout or stderr."""
        return stream in self.attached if self.attached else stream != "stdin" or self.interactive

    def with_fields(self, host_config: Mapping[str, Any], config: Mapping[str, Any] = MappingProxyType({})) -> "CreateOptions":
        """Return the options with more fields of the record's HostConfig and Config."""
        return self._replace(host_config=(*self.host_config, *host_config.items()), config=(*self.config, *config.items()))
