"""Docker's and Podman's short syntax of mounts: `-v SOURCE:TARGET[:OPTIONS]` and `--tmpfs TARGET[:OPTIONS]`."""

import os
from typing import Final

from rootless.containers.mount_request import BIND, PROPAGATIONS, TMPFS, TMPFS_DEFAULTS, VOLUME, MountRequest, Overlay, check_target
from rootless.errors import InvalidInput

_FLAGS: Final = ("exec", "noexec", "suid", "nosuid", "dev", "nodev")
# SELinux labels mean nothing where there is no SELinux, and a user's containers are not confined by it; consistency is a Mac's.
_WITHOUT_EFFECT: Final = ("z", "Z", "consistent", "cached", "delegated")
_PLAIN: Final = ("ro", "rw", "U", "O", "copy", "nocopy", "bind", "rbind", *_FLAGS, *_WITHOUT_EFFECT, *PROPAGATIONS)
_OPPOSITES: Final = (("ro", "rw"), ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("copy", "nocopy"), ("bind", "rbind"))
_BESIDE_OVERLAY: Final = {"O", "U", "z", "Z", "rw"}
_TMPFS_FLAGS: Final = (
    *("ro", "rw", *_FLAGS, "sync", "async", "dirsync", "atime", "noatime", "diratime", "nodiratime", "relatime", "strictatime"),
    *PROPAGATIONS,
    "tmpcopyup",
)
_TMPFS_KEYS: Final = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge", "mpol")


def parse_volume(text: str, cwd: str) -> MountRequest:
    """Return what `-v` asks for: a bind of a path, a named volume, or without a source an anonymous one. Raises `InvalidInput`."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise _invalid(text, "it is not [SOURCE:]TARGET[:OPTIONS]")
    if len(parts) == 1:
        return MountRequest(VOLUME, "", _target(text, text))
    source, target, mode = parts[0], _target(parts[1], text), parts[2] if len(parts) == 3 else ""
    words = mode.split(",") if mode else []
    if source.startswith(("/", ".", "~")):
        path = os.path.normpath(os.path.join(cwd, os.path.expanduser(source)))
        request = MountRequest(BIND, path, target, makes_source=True)
        if {"copy", "nocopy"} & set(words):
            raise _invalid(text, "invalid mode: only volumes take copy and nocopy")
    else:
        request = MountRequest(VOLUME, source, target)
    bind = f"{request.source}:{target}{f':{mode}' if mode else ''}"
    return _with_options(request._replace(bind=bind, mode=mode), words, text)


def parse_tmpfs(text: str) -> MountRequest:
    """Return what `--tmpfs` asks for: mount(8)'s options of tmpfs, after Docker's own. Raises `InvalidInput`."""
    target, separator, mode = text.partition(":")
    options = list(TMPFS_DEFAULTS)
    for word in filter(None, mode.split(",")):
        key, _, value = word.partition("=")
        if (key in _TMPFS_KEYS and value) or word in _TMPFS_FLAGS:
            options.append(word)
        elif word not in {"defaults", "notmpcopyup"}:
            raise InvalidInput(f"invalid tmpfs option [{word!r}] in {text}", f"known are flags and {', '.join(_TMPFS_KEYS)}")
    return MountRequest(TMPFS, "", _target(target, text), tuple(options), mode=mode if separator else "")


def _with_options(request: MountRequest, words: list[str], text: str) -> MountRequest:
    _check_words(request, words, text)
    propagation = [word for word in words if word in PROPAGATIONS]
    flags = [word for word in words if word in _FLAGS]
    folders = dict(word.split("=", 1) for word in words if "=" in word)
    is_recursive = "bind" not in words
    read_only = "ro" in words
    access = (["ro", "rro"] if is_recursive else ["ro"]) if read_only else []
    return request._replace(
        options=("rbind" if is_recursive else "bind", *propagation, *access, *flags),
        read_only=read_only,
        copies_up="nocopy" not in words and "O" not in words,
        changes_owner="U" in words,
        overlay=Overlay(folders.get("upperdir", ""), folders.get("workdir", "")) if "O" in words else None,
    )


def _check_words(request: MountRequest, words: list[str], text: str) -> None:
    for word in words:
        key, separator, value = word.partition("=")
        if key == "idmap":
            raise _invalid(text, "idmap needs an administrator's mount", "use :U, which gives the files to the container's user")
        if separator and key in {"upperdir", "workdir"} and "O" in words:
            if not value.startswith("/"):
                raise _invalid(text, f"{key} must be an absolute path")
        elif word not in _PLAIN:
            raise _invalid(text, f"invalid mode: {word}", f"known are {', '.join(_PLAIN)}")
    for one, other in _OPPOSITES:
        if one in words and other in words:
            raise _invalid(text, f"invalid mode: {one} and {other} contradict each other")
    if sum(word in PROPAGATIONS for word in words) > 1:
        raise _invalid(text, "invalid mode: more than one propagation")
    if "O" in words:
        _check_overlay(words, text)
    elif request.kind == VOLUME and any(word in PROPAGATIONS for word in words):
        raise _invalid(text, "invalid mode: a volume has no propagation")


def _check_overlay(words: list[str], text: str) -> None:
    keys = [word.partition("=")[0] for word in words]
    if set(keys) - _BESIDE_OVERLAY - {"upperdir", "workdir"}:
        raise _invalid(text, "O can only be given with U, upperdir and workdir")
    if ("upperdir" in keys) != ("workdir" in keys):
        raise _invalid(text, "upperdir and workdir must be given together", "both on one file system")


def _target(target: str, text: str) -> str:
    try:
        return check_target(target)
    except InvalidInput as error:
        raise _invalid(text, error.message, error.hint) from None


def _invalid(text: str, reason: str, hint: str | None = "volumes look like: name:/path, ./folder:/path:ro") -> InvalidInput:
    return InvalidInput(f"invalid volume specification: '{text}': {reason}", hint)
