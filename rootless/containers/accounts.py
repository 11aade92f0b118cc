"""With `--userns keep-id` the user is somebody inside: an entry in passwd and group files, where the image has none.

The files are made from the image's by the stage when the root is mounted, and mounted read-only over the image's own, which stay as
they are. The image's files are read as data, within the root. On disk they are the user's, as all of such a container.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

from rootless.linux.openat2 import open_in_root

_MOST: Final = 1 << 20  # bytes that are read of an image's file
FILES: Final = ("passwd", "group")


def mounts_of(folder: str) -> list[dict[str, Any]]:
    """Return the OCI mounts of the files in the container's folder."""
    options = ["bind", "ro"]
    return [{"destination": f"/etc/{name}", "type": "bind", "source": f"{folder}/{name}", "options": options} for name in FILES]


def write(folder: str, root: str, user: Mapping[str, Any], name: str) -> None:
    """Write the files for the OCI process's `user`, who is called `name` outside."""
    uid, gid = user["uid"], user["gid"]
    owner = os.stat(folder)  # whose ID the container has: `keep-id`
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        passwd, group = (_read(root_fd, f"etc/{file}") for file in FILES)
    finally:
        os.close(root_fd)
    name = name if not _has(passwd, 0, name) else f"user-{uid}"
    if not _has(passwd, 2, str(uid)):
        passwd += f"{name}:*:{uid}:{gid}:{name}:/:/bin/sh\n".encode()
    if not _has(group, 2, str(gid)):
        group += f"{name if not _has(group, 0, name) else f'group-{gid}'}:x:{gid}:\n".encode()
    for file, content in zip(FILES, (passwd, group), strict=True):
        _replace(f"{folder}/{file}", content, owner)


def _has(content: bytes, field: int, value: str) -> bool:
    """Tell whether a line's field is that."""
    wanted = value.encode()
    return any(fields[field : field + 1] == [wanted] for fields in (line.split(b":") for line in content.splitlines()))


def _read(root_fd: int, path: str) -> bytes:
    try:
        descriptor = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            content = file.read(_MOST)
    except OSError:  # none, a folder, a link that leads nowhere: the image's affair
        return b""
    return content if not content or content.endswith(b"\n") else content + b"\n"


def _replace(path: str, content: bytes, owner: os.stat_result) -> None:
    """Write a file anew: the last one may be mounted in a container that is still ending."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
