"""The mounts of one RUN: what its container gets of files of the context and of stages, caches, secrets and the ssh agent."""

import contextlib
import os
import posixpath
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rootless.build import agent, cache_mounts
from rootless.build.copied_files import FilesPart, materialized
from rootless.build.mount_flags import BIND, CACHE, SECRET, SSH, TMPFS, Mount, parse_mount
from rootless.build.reader import Instruction
from rootless.build.selection import Selection
from rootless.build.stage import Folder, Stage
from rootless.build.stage_builder import StageBuilder
from rootless.containers import mount_request
from rootless.containers.mount_request import MountRequest, Overlay, check_target
from rootless.containers.secret_options import ENV, MOUNT, SecretRequest
from rootless.errors import InvalidInput, NoSuchObject
from rootless.linux.openat2 import real_path_in_root

_SECRETS: Final = "/run/secrets"
_AGENTS: Final = "/run/buildkit"
_SECRET_MODE: Final = 0o400
_SOCKET_MODE: Final = 0o600


class RunMounts(NamedTuple):
    """What a container gets; `key` is what the step's outcome depends on, `places` are the paths that are mounted upon."""

    requests: list[MountRequest]
    secrets: list[SecretRequest]
    environment: list[str]
    key: list[Any]
    places: list[str]


class _Resolver:
    """Resolves the mounts of one RUN; what they need is there until `stack` ends."""

    def __init__(self, builder: StageBuilder, stack: contextlib.ExitStack) -> None:
        self._builder = builder
        self._stack = stack
        self._agents = 0
        self.found = RunMounts([], [], [], [], [])
        self._makers: Final[dict[str, Callable[[Mount], None]]] = {
            BIND: self._bind, CACHE: self._cache, TMPFS: self._tmpfs, SECRET: self._secret, SSH: self._ssh,
        }  # fmt: skip

    def add(self, mount: Mount) -> None:
        """Resolve one. Raises `InvalidInput`, `NoSuchObject`, `OSError`."""
        self._makers[mount.kind](mount)

    def _target(self, path: str) -> str:
        return check_target(posixpath.join("/", self._builder.stage.workdir, path))

    def _add(self, request: MountRequest) -> None:
        self.found.requests.append(request)
        self.found.places.append(request.target)

    def _bind(self, mount: Mount) -> None:
        target = self._target(mount.target)
        source = self._builder.session.source(mount.origin) if mount.origin else self._builder.session.context
        path = posixpath.normpath(f"/{mount.source}").lstrip("/")
        key = [BIND, target, path, mount.writable]
        if isinstance(source, Stage):
            self.found.key.append([*key, source.diff_ids])
            request = MountRequest(
                mount_request.IMAGE, mount.origin, target, read_only=not mount.writable, subpath=path, layer_keys=source.layer_keys
            )
            self._add(request)
            return
        part = FilesPart(source.path, Selection((path or ".",), ignored=source.ignored))
        self.found.key.append([*key, part.key(self._stack)])
        self._add(self._bind_of_folder(mount, target, source, path))

    def _bind_of_folder(self, mount: Mount, target: str, source: Folder, path: str) -> MountRequest:
        """Bind a folder or file of the node; where files of it are left out, or can be changed, it is a copy or an overlay."""
        root = source.path
        if source.ignored:
            root = self._builder.session.new_folder()
            materialized(source.path, Selection((".",), ignored=source.ignored), root)
        real = _real_path(root, path)
        options = ("rbind",) if mount.writable else ("rbind", "ro")
        request = MountRequest(mount_request.BIND, real, target, options, read_only=not mount.writable)
        if not mount.writable or source.ignored:
            return request
        if os.path.isdir(real):
            return request._replace(overlay=Overlay())  # what the step writes is thrown away
        folder = self._builder.session.new_folder()
        materialized(root, Selection((path,)), folder)
        return request._replace(source=f"{folder}/{posixpath.basename(path)}")

    def _cache(self, mount: Mount) -> None:
        target = self._target(mount.target)
        mount = mount._replace(id=mount.id or target)
        self.found.key.append([CACHE, target, mount.id, mount.sharing, mount.writable, mount.uid, mount.gid, mount.mode])
        locations = self._builder.engine.locations
        origin, fill = "", None
        if mount.origin:
            source = self._builder.session.source(mount.origin)
            path = posixpath.normpath(f"/{mount.source}").lstrip("/") or "."
            origin = f"{source.diff_ids if isinstance(source, Stage) else source.path} {path}"
            part = self._builder.stage.part(source, Selection((path,)))
            prepared: list[int] = []

            def fill_from(root: int) -> None:
                part.put(root, "/", "", "", is_single=prepared == [1])

            prepared.append(part.prepare(self._stack))
            fill = fill_from
        elif mount.source:
            raise InvalidInput("a cache mount has a source only with from", "leave out source")
        path = cache_mounts.taken(locations, mount, origin, fill, self._stack)
        options = ("bind",) if mount.writable else ("bind", "ro")
        self._add(MountRequest(mount_request.BIND, path, target, options, read_only=not mount.writable))

    def _tmpfs(self, mount: Mount) -> None:
        target = self._target(mount.target)
        self.found.key.append([TMPFS, target, mount.size])
        size = (f"size={mount.size}",) if mount.size else ()
        self._add(MountRequest(mount_request.TMPFS, "", target, ("nosuid", "nodev", "mode=0755", *size)))

    def _secret(self, mount: Mount) -> None:
        name = mount.id or posixpath.basename(mount.target) or mount.variable
        if not name:
            raise InvalidInput("a mount of type secret needs an id", "--mount=type=secret,id=NAME")
        self.found.key.append([SECRET, name, mount.target, mount.variable, mount.uid, mount.gid, mount.mode])
        data = self._builder.session.secrets.get(name)
        if data is None:
            if mount.required:
                raise NoSuchObject(f"secret {name}: not found", f"give it: --secret id={name},src=FILE")
            return
        if mount.variable:
            self.found.secrets.append(SecretRequest(name, ENV, mount.variable, data=data))
        if mount.target or not mount.variable:
            target = self._target(mount.target or f"{_SECRETS}/{name}")
            mode = _SECRET_MODE if mount.mode is None else mount.mode
            self.found.secrets.append(SecretRequest(name, MOUNT, target, mount.uid or 0, mount.gid or 0, mode, data))
            self.found.places.append(target)

    def _ssh(self, mount: Mount) -> None:
        name = mount.id or agent.DEFAULT
        target = self._target(mount.target or f"{_AGENTS}/ssh_agent.{self._agents}")
        self.found.key.append([SSH, name, target, mount.uid, mount.gid, mount.mode])
        paths = self._builder.session.ssh.get(name)
        if paths is None:
            if mount.required:
                raise NoSuchObject(f"unset ssh forward key {name}", f"give it: --ssh {name}")
            return
        mode = _SOCKET_MODE if mount.mode is None else mount.mode
        locations = self._builder.engine.locations
        path = agent.forwarded(locations, paths, self._agents, (mount.uid or 0, mount.gid or 0), mode, self._stack)
        if not self._agents:
            self.found.environment.append(f"SSH_AUTH_SOCK={target}")
        self._agents += 1
        self._add(MountRequest(mount_request.BIND, path, target, ("bind",)))


def resolve_mounts(builder: StageBuilder, instruction: Instruction, stack: contextlib.ExitStack) -> RunMounts:
    """Return the mounts that the flags of a RUN ask for. The caller is single-threaded. Raises `RlError`, `OSError`."""
    resolver = _Resolver(builder, stack)
    for text in instruction.flags.get("mount", ()):
        resolver.add(parse_mount(text, lambda word: instruction.expand(word, builder.scope)))
    return resolver.found


def _real_path(root: str, path: str) -> str:
    """Return where a path below a folder leads, without leaving that. Raises `NoSuchObject`."""
    try:
        return real_path_in_root(root, path or ".")
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchObject(f'failed to compute cache key: "/{path}": not found', "it must be there, and not left out") from None
