"""What the options of namespaces (`--pid`, `--ipc`, …, `--network container:`) and `--group-add` take, and what excludes what."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput
from rootless.namespaces.idmap import AUTO, KEEP_ID, NOMAP, has_other_maps, keeps_id

if TYPE_CHECKING:
    from rootless.containers.options import CreateOptions

OF_CONTAINER: Final = "container:"
KEEP_GROUPS: Final = "keep-groups"

# Docker's names of the kinds of modes, in its messages.
_PID, _IPC, _UTS, _USER, _CGROUP = "PID", "IPC", "UTS", "USER", "CGROUP"


class NamespaceModes(NamedTuple):
    """Modes as inspect shows them; "" is a namespace of the container's own."""

    pid: str = ""  # or host, container:ID
    ipc: str = "private"  # or shareable, none, host, container:ID
    uts: str = ""  # or host, container:ID
    user: str = ""  # "" follows what is joined (see `sharing`); private, host, keep-id[:…], nomap, auto[:…], container:ID
    cgroup: str = "private"  # or host
    groups: tuple[str, ...] = ()  # names and numbers, or `KEEP_GROUPS` alone


def parse(
    *, pid: str | None, ipc: str | None, uts: str | None, user: str | None, cgroup: str | None, groups: tuple[str, ...]
) -> NamespaceModes:
    """Return the modes, None for what was not given. Raises `InvalidInput`."""
    default = NamespaceModes()
    if KEEP_GROUPS in groups and len(groups) > 1:
        raise InvalidInput("the '--group-add keep-groups' option is not allowed with any other --group-add options")
    return NamespaceModes(
        _parsed("--pid", _PID, pid, ("host",), default.pid),
        _parsed("--ipc", _IPC, ipc, ("private", "shareable", "none", "host"), default.ipc),
        _parsed("--uts", _UTS, uts, ("host",), default.uts),
        _parsed("--userns", _USER, user, ("private", "host"), default.user),
        _parsed("--cgroupns", _CGROUP, cgroup, ("private", "host"), default.cgroup),
        groups,
    )


def _parsed(option: str, kind: str, text: str | None, words: tuple[str, ...], default: str) -> str:
    if not text or (text == "private" and "private" not in words):  # Podman's word for the default
        return default
    mode, separator, target = text.partition(":")
    if kind == _USER and has_other_maps(text):
        from rootless.namespaces import custom_maps  # rare

        custom_maps.check_mode(text)
        return text
    takes_container = kind != _CGROUP
    if takes_container and mode == "container" and separator:
        if not target:
            raise InvalidInput(f"{option}: invalid container format container:<name|id>", "name the container")
        return text
    if text not in words:
        possible = [*words, *((KEEP_ID, NOMAP, AUTO) if kind == _USER else ()), *(("container:NAME",) if takes_container else ())]
        raise InvalidInput(f"{option}: invalid {kind} mode: {text}", f"choose {', '.join(possible)}")
    return text


def check_conflicts(options: "CreateOptions") -> None:
    """Raise `InvalidInput`, in Docker's words, for options that exclude each other."""
    if options.hostname and options.namespaces.uts:
        raise InvalidInput("conflicting options: hostname and the UTS mode", "the host name is the namespace's: leave one out")
    if options.hostname and options.network.startswith(OF_CONTAINER):
        raise InvalidInput("conflicting options: hostname and the network mode", "the other container's host name is used")


def with_full_ids(store: ContainerStore, options: "CreateOptions") -> "CreateOptions":
    """Return the options with full IDs in place of names: `container:ID`. Raises `NoSuchObject`."""

    def full(mode: str) -> str:
        return OF_CONTAINER + store.id_of(mode.removeprefix(OF_CONTAINER)) if mode.startswith(OF_CONTAINER) else mode

    modes = options.namespaces
    modes = modes._replace(pid=full(modes.pid), ipc=full(modes.ipc), uts=full(modes.uts), user=full(modes.user))
    return options._replace(namespaces=modes, network=full(options.network))


def has_own_maps(host_config: Mapping[str, Any]) -> bool:
    """Tell whether a container has other ID maps than the default one (see `rootless.namespaces.custom_maps`)."""
    return has_other_maps(str(host_config.get("UsernsMode") or "")) or bool(host_config.get("IDMappings"))


def maps_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what tells a container's ID maps, for `has_own_maps`: its HostConfig, or that of whose user namespace it joins."""
    joined: Mapping[str, Any] | None = document["Rl"].get("JoinedMaps")
    return document["HostConfig"] if joined is None else joined


def joined_maps(store: ContainerStore, options: "CreateOptions") -> dict[str, Any] | None:
    """Return `JoinedMaps` for a new container that joins another with other ID maps than the default one (see `sharing`)."""
    modes = options.namespaces
    joined = (modes.user,) if modes.user else (modes.pid, modes.ipc, modes.uts, options.network)
    owners = [_owner(store.find(mode.removeprefix(OF_CONTAINER))) for mode in joined if mode.startswith(OF_CONTAINER)]
    if not owners or any(owner != owners[0] for owner in owners):
        return None  # with several user namespaces to choose from it gets one of its own
    return owners[0] if has_own_maps(owners[0]) else None


def _owner(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return whose user namespace a container is in, and what tells its maps."""
    joined: dict[str, Any] | None = document["Rl"].get("JoinedMaps")
    if joined is not None:
        return joined
    host_config = document["HostConfig"]
    return {"Owner": document["Id"], "UsernsMode": host_config.get("UsernsMode"), "IDMappings": host_config.get("IDMappings")}


def is_kept_user(document: Mapping[str, Any]) -> bool:
    """Tell whether the user who has started a container with keep-id is who runs in it, by its number."""
    if not keeps_id(str(document["HostConfig"].get("UsernsMode") or "")):
        return False
    user = str(document["Rl"]["User"]).partition(":")[0]
    return user.isdecimal() and user != "0"


def hostname_of(store: ContainerStore, options: "CreateOptions", container_id: str) -> str:
    """Return the host name of a new container: given, the other container's or the node's with their namespace, or its short ID."""
    if options.hostname:
        return options.hostname
    for mode in (options.namespaces.uts, options.network):
        if mode.startswith(OF_CONTAINER):
            return str(store.find(mode.removeprefix(OF_CONTAINER))["Config"]["Hostname"])
    of_node = "host" in (options.namespaces.uts, options.network)
    return os.uname().nodename if of_node else container_id[:12]
