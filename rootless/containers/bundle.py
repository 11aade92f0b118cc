"""From a container's document to what the runtime needs to start it: the OCI config, the name files, the filter."""

import contextlib
import json
import os
from typing import Any, Final, NamedTuple

from rootless.containers.documents import Document
from rootless.containers.namespace_modes import KEEP_GROUPS, OF_CONTAINER, is_kept_user
from rootless.containers.options import SHM_SIZE
from rootless.containers.sharing import Shared, open_shared
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput
from rootless.images import layers as image_layers
from rootless.locations import Locations
from rootless.networks import modes, name_files
from rootless.networks.modes import Network
from rootless.runtime import seccomp
from rootless.runtime.default_spec import default_spec
from rootless.runtime.process import SeccompFilter
from rootless.runtime.security import container_capabilities
from rootless.runtime.sharing import Sharing, namespaces_of
from rootless.storage.root_filesystem import RootFilesystem, of_container

_INIT: Final = "/dev/rl-init"
# Fields that few containers have set.
_RARE_OF_HOST: Final = ("Privileged", "CapAdd", "CapDrop", "SecurityOpt", "Devices", "Ulimits", "Sysctls", "OomScoreAdj")
_RARE_OF_CONFIG: Final = ("Umask", "Domainname", "Timezone")


class Bundle(NamedTuple):
    """Everything that one start of a container needs."""

    root: RootFilesystem
    spec: dict[str, Any]
    network: Network
    capability_names: tuple[str, ...]
    seccomp_filter: SeccompFilter | None
    reaper: bool  # our own init stays above the command
    shared: Shared
    groups: tuple[str, ...]  # --group-add


def prepare(locations: Locations, document: Document, console_size: tuple[int, int] | None) -> Bundle:
    """Write the container's name files and return its bundle; `console_size` is rows and columns."""
    network = modes.resolved(modes.parse(document["HostConfig"]["NetworkMode"]))
    network = modes.with_mac(network, document["Config"].get("MacAddress"))
    shared = open_shared(ContainerStore(locations), document)
    config = document["Config"]
    init_path = document["Rl"].get("InitPath")
    root = of_container(locations, document["Id"], _layers(locations, document))
    _provide_name_files(locations, document, network)
    spec = default_spec(
        args=[*(() if init_path is None else (_INIT, "--")), document["Path"], *document["Args"]],
        env=[*config["Env"], f"HOSTNAME={config['Hostname']}"],
        cwd=config["WorkingDir"] or "/",
        hostname=config["Hostname"],
        root=root.mount_point,
        terminal=config["Tty"],
        read_only=document["HostConfig"]["ReadonlyRootfs"],
        sharing=shared.sharing,
        keep_groups=keeps_groups(document),
        mounts=[
            *_name_mounts(document),
            *_account_mounts(locations, document),
            *_init_mounts(init_path),
            *sorted(document["Rl"]["Mounts"], key=_depth),
        ],
    )
    if document["HostConfig"]["ShmSize"] != SHM_SIZE:
        _resize_shm(spec, document["HostConfig"]["ShmSize"])
    if console_size is not None:
        spec["process"]["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    if document["HostConfig"].get("Annotations"):
        spec["annotations"] = document["HostConfig"]["Annotations"]
    if has_rare_options(document):
        from rootless.containers import rare_options  # what it loads a plain start can do without

        rare_options.put_into(spec, document)
    names = capability_names(document)
    reaper = bool(document["HostConfig"]["Init"]) and init_path is None
    compiled = None
    if document["HostConfig"]["Runtime"] == "rl":
        compiled = load_filter(locations, document, names)
    else:
        _complete_for_another(document, spec, names, wants_init=reaper)
    return Bundle(root, spec, network, names, compiled, reaper, shared, additional_groups(document))


def _complete_for_another(document: Document, spec: dict[str, Any], capability_names: tuple[str, ...], *, wants_init: bool) -> None:
    """Put in what our own runtime is given otherwise: the filter as an object, to be compiled by another runtime."""
    if wants_init:
        raise InvalidInput("--init needs rl's own runtime", "give a program: --init --init-path FILE (catatonit, tini)")
    if keeps_groups(document):
        raise InvalidInput("--group-add keep-groups needs rl's own runtime", "leave out --runtime and RL_RUNTIME")
    if any(name.startswith("net") for name in document["HostConfig"].get("Sysctls") or ()):
        # The network namespace is the stage's, and others write parameters only of namespaces that they have made.
        raise InvalidInput("--sysctl net.* needs rl's own runtime", "leave out --runtime and RL_RUNTIME")
    from rootless.containers import rare_options  # as another runtime is

    profile = rare_options.seccomp_object(document, capability_names)
    if profile is not None:
        spec["linux"]["seccomp"] = profile


def keeps_groups(document: Document) -> bool:
    """Tell whether the container's processes have the user's own groups (`--group-add keep-groups`)."""
    return KEEP_GROUPS in (document["HostConfig"].get("GroupAdd") or ())


def additional_groups(document: Document) -> tuple[str, ...]:
    """Return the groups of `--group-add`, names and numbers; `keep-groups` is none of them."""
    return tuple(group for group in document["HostConfig"].get("GroupAdd") or () if group != KEEP_GROUPS)


def _provide_name_files(locations: Locations, document: Document, network: Network) -> None:
    """Write the container's name files; in the network of another container, they are that one's (as in Docker)."""
    hostname = document["Config"]["Hostname"]
    if network.is_joined:
        other = ContainerStore(locations).find(network.mode.removeprefix(OF_CONTAINER))
        for key in ("HostsPath", "HostnamePath", "ResolvConfPath"):
            document[key] = other[key]
        return
    host_config = document["HostConfig"]
    if document["HostsPath"]:  # else --no-hosts
        domain, extra = document["Config"].get("Domainname") or "", host_config.get("ExtraHosts") or ()
        _write(document["HostsPath"], name_files.hosts(network, hostname, domain, extra))
    _write(document["HostnamePath"], hostname + "\n")
    if document["ResolvConfPath"]:  # else --dns none
        asked = name_files.Resolving(*(tuple(host_config.get(key) or ()) for key in ("Dns", "DnsSearch", "DnsOptions")))
        _write(document["ResolvConfPath"], name_files.resolv_conf(network, name_files.read_node_resolv_conf(), asked))


def write_config(folder: str, spec: dict[str, Any], shown: Sharing) -> None:
    """Write the OCI config that a container was started with to its folder, which so is a bundle that any OCI tool can read.

    `shown` has the paths of joined namespaces, as others can open them.
    """
    spec = {**spec, "linux": {**spec["linux"], "namespaces": namespaces_of(shown)}}
    with contextlib.suppress(OSError):  # a full disk: the container runs all the same, and a next start writes it
        _write(f"{folder}/config.json", json.dumps(spec))


def has_rare_options(document: Document) -> bool:
    """Tell whether the record has anything that `rare_options` is for."""
    host_config, config = document["HostConfig"], document["Config"]
    return any(map(host_config.get, _RARE_OF_HOST)) or any(map(config.get, _RARE_OF_CONFIG))


def capability_names(document: Document) -> tuple[str, ...]:
    """Return the capabilities that the container's processes may have."""
    if not has_rare_options(document):
        return tuple(container_capabilities())
    from rootless.containers import rare_options  # as above

    return rare_options.capability_names(document)


def load_filter(locations: Locations, document: Document, names: tuple[str, ...]) -> SeccompFilter | None:
    """Return the seccomp filter for a container with these capabilities, compiled at most once a node; None for none."""
    if has_rare_options(document):
        from rootless.containers import rare_options  # as above

        return rare_options.load_filter(locations, document, names)
    platform = seccomp.Platform.of_this_node()
    program = seccomp.load_default_program(f"{locations.data_root}/seccomp", names, platform)
    return SeccompFilter(program, seccomp.filter_flags({}))


def _layers(locations: Locations, document: Document) -> tuple[str, ...]:
    keys = reversed(document["Rl"]["LayerKeys"])
    return tuple(f"{image_layers.folder_of(locations, key)}/{image_layers.TREE}" for key in keys)


def _name_mounts(document: Document) -> list[dict[str, Any]]:
    """Return the binds of the name files, but for those that the user mounts something else upon."""
    files = {"/etc/resolv.conf": "ResolvConfPath", "/etc/hostname": "HostnamePath", "/etc/hosts": "HostsPath"}
    taken = {mount["destination"] for mount in document["Rl"]["Mounts"]}
    return [
        {"destination": destination, "type": "bind", "source": document[key], "options": ["bind"]}  # type: ignore[literal-required]
        for destination, key in files.items()
        if destination not in taken and document[key]  # type: ignore[literal-required]
    ]


def _account_mounts(locations: Locations, document: Document) -> list[dict[str, Any]]:
    """Return the binds of the files in which the user has an entry that the image cannot have."""
    if not is_kept_user(document):
        return []
    from rootless.containers import accounts  # few containers have other ID maps

    taken = {mount["destination"] for mount in document["Rl"]["Mounts"]}
    mounts = accounts.mounts_of(ContainerStore(locations).folder(document["Id"]))
    return [mount for mount in mounts if mount["destination"] not in taken]


def _init_mounts(init_path: str | None) -> list[dict[str, Any]]:
    """Return the bind of `--init-path`'s program; in /dev, so that nothing of it is left in the container's files."""
    if init_path is None:
        return []
    return [{"destination": _INIT, "type": "bind", "source": init_path, "options": ["bind", "ro", "nosuid"]}]


def _resize_shm(spec: dict[str, Any], size: int) -> None:
    mounts = spec["mounts"]
    for position, mount in enumerate(mounts):
        if mount["destination"] == "/dev/shm" and mount["source"] == "shm":  # noqa: S108 - a mount of the container's
            options = [option for option in mount["options"] if not option.startswith("size=")]
            mounts[position] = {**mount, "options": [*options, f"size={size}"]}  # the default one is shared by all containers


def _depth(mount: dict[str, Any]) -> int:
    return str(mount["destination"]).count("/")


def _write(path: str, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, content.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
