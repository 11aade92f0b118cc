"""`exec`: one more process in a running OCI container."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rootless.errors import InUse, InvalidInput
from rootless.linux import capabilities
from rootless.linux.own_process import become_subreaper
from rootless.linux.process import open_pidfd
from rootless.runtime import config, join
from rootless.runtime.interpreter import protect
from rootless.runtime.oci import cgroup, console_socket, id_maps
from rootless.runtime.oci.create import load_filter, preserved_descriptors, write_pid_file
from rootless.runtime.oci.operations import Warn
from rootless.runtime.oci.state import Folder, oci_state, status
from rootless.runtime.sharing import keeps_groups

_CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable")


class ExecOptions(NamedTuple):
    """Options of `rl oci exec`; None and empty mean what the container's own process has."""

    arguments: tuple[str, ...] = ()
    process: str | None = None  # a file with a whole OCI process
    terminal: bool = False
    cwd: str | None = None
    environment: tuple[str, ...] = ()  # NAME=VALUE
    user: str | None = None  # UID[:GID]
    additional_gids: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    console_socket: str | None = None
    pid_file: str | None = None
    preserve_fds: int = 0
    seccomp_cache: str = ""


class Executed(NamedTuple):
    """A process that runs in the container; a child of the caller."""

    pid: int
    master: int | None  # of its terminal, where no console socket took it


def execute(folder: Folder, options: ExecOptions, environ: Mapping[str, str], warn: Warn) -> Executed:
    """Run a process in a running container; returns when it has executed its command.

    `warn` is told of what the process file asks for and nobody can grant.

    The caller is single-threaded and becomes a child subreaper. Raises `InUse`, `CommandNotFound`, `CannotInvoke`.
    """
    record = folder.read()
    current = status(folder, record)
    if current != "running" or record.init is None:
        raise InUse(f"cannot exec in container {folder.id}: it is {current}", "only a running container takes more processes")
    spec = folder.spec()
    maps = id_maps.of_container(spec)
    protect(maps)
    process = _process(spec["process"], options, warn)
    preserved, variables = preserved_descriptors(options.preserve_fds, environ)
    process["env"] = [*process["env"], *variables]
    seccomp_filter = load_filter(spec, options.seccomp_cache)
    pidfd = open_pidfd(record.init)
    if pidfd is None:
        raise InUse(f"container {folder.id} has ended")
    become_subreaper()
    stdio = None if process.get("terminal") else (0, 1, 2)

    def on_listener(pid: int, listener: int) -> None:
        from rootless.runtime.oci import seccomp_agent  # rare

        seccomp_agent.send(spec["linux"]["seccomp"], listener, pid, oci_state(record, current))

    joined = join.create(
        join.JoinPlan(
            pidfd,
            process,
            None,
            (),
            seccomp_filter,
            maps,
            stdio,
            preserved,
            spec["linux"],
            on_listener,
            keep_groups=keeps_groups(spec),
            admit=cgroup.placer(record.cgroup),
        )
    )
    os.close(pidfd)
    master = joined.master
    if master is not None and options.console_socket is not None:
        console_socket.send(options.console_socket, master)
        os.close(master)
        master = None
    if options.pid_file is not None:
        write_pid_file(options.pid_file, joined.pid)
    return Executed(joined.pid, master)


def _process(own: Mapping[str, Any], options: ExecOptions, warn: Warn) -> dict[str, Any]:
    """Return the OCI process: a whole one from a file, or the container's own with the options over it."""
    if options.process is not None:
        process, warnings = config.read_process(options.process)
        for warning in warnings:
            warn(f"{os.path.basename(options.process)}: {warning}")
        return process
    process = {**own, "args": list(options.arguments), "terminal": options.terminal}
    process.pop("consoleSize", None)
    process["env"] = [*own["env"], *options.environment]
    if options.cwd is not None:
        process["cwd"] = options.cwd
    if options.user is not None:
        process["user"] = _user(options.user)
    if options.additional_gids:
        process["user"] = {**process["user"], "additionalGids": list(options.additional_gids)}
    if options.capabilities:
        process["capabilities"] = _with_capabilities(own.get("capabilities") or {}, options.capabilities)
    if options.no_new_privileges:
        process["noNewPrivileges"] = True
    return process


def _user(text: str) -> dict[str, int]:
    uid, _, gid = text.partition(":")
    if not uid.isdecimal() or (gid and not gid.isdecimal()):
        raise InvalidInput(f"invalid user {text!r}", "give UID or UID:GID: an OCI runtime knows no names")
    return {"uid": int(uid), "gid": int(gid or 0)}


def _with_capabilities(sets: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, list[str]]:
    added = []
    for name in names:
        upper = name.upper()
        upper = upper if upper.startswith("CAP_") else f"CAP_{upper}"
        if upper not in capabilities.NUMBERS:
            raise InvalidInput(f'unknown capability: "{name}"', "see capabilities(7) for the names")
        added.append(upper)
    result = {key: list(value) for key, value in sets.items()}
    for key in _CAPABILITY_SETS:
        result[key] = [*result.get(key, []), *(name for name in added if name not in result.get(key, []))]
    return result
