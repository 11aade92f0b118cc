"""A file system that refuses what NFS does, for tests: a folder passed through by FUSE, mounted by root of a user namespace.

It has no flags of renameat2(2), no owner but the server's, none of what `Has` leaves out, and keeps a file that is deleted or
replaced while it is open as `.nfsXXXX` until it is closed. A file is reached by its path only, so what is deleted and not open is
gone, also for who holds an O_PATH descriptor: this is more than NFS refuses, and what FUSE file systems do. Nothing is cached.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, NamedTuple

from fuse_overlay.session import serve
from fuse_overlay.standins import pyfuse3
from rootless.linux import mounts, namespaces

_ROOT = 1


class Has(NamedTuple):
    """What it has all the same: NFS has hard links, its version 4.2 may have user xattrs, some servers make whiteouts' devices."""

    links: bool = True
    xattrs: bool = False
    devices: bool = False


def mount(source: str, point: str, has: Has, user: int = 0) -> int:
    """Mount `source` at `point` in this mount namespace; serve it in a child as `user`, until it is unmounted; return its PID."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    mounts.mount("nfs_like", point, "fuse", 0, options)
    pid = os.fork()
    if pid == 0:
        try:
            os.umask(0)
            namespaces.unshare(namespaces.NEWNS)
            mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
            mounts.unmount(point, mounts.MNT_DETACH)  # ours, which would keep it, and us, for ever
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            never, _held = os.pipe()
            pyfuse3.init(_PassThrough(source, has), f"/dev/fd/{device}", set())
            serve(device, never, lambda: None, lambda: None)
        finally:
            os._exit(0)
    os.close(device)
    return pid


def _request(handle: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(handle)
    async def handler(self: "_PassThrough", *arguments: Any) -> Any:
        try:
            return handle(self, *arguments)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None
        except KeyError:
            raise pyfuse3.FUSEError(errno.ESTALE) from None

    return handler


def _refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


class _PassThrough(pyfuse3.Operations):
    enable_writeback_cache = False

    def __init__(self, source: str, has: Has) -> None:
        super().__init__()
        self._source = os.fsencode(source)
        self._has = has
        self._paths: dict[int, list[bytes]] = {_ROOT: [self._source]}
        self._open: dict[int, int] = {}  # handle -> inode
        self._kept: dict[int, bytes] = {}  # inode -> where it is until it is closed
        self._listed: dict[int, list[os.DirEntry[bytes]]] = {}
        self._deleted = 0

    def _path(self, number: int) -> bytes:
        return self._paths[number][0]

    def _at(self, parent: int, name: bytes) -> bytes:
        return self._path(parent) + b"/" + name

    def _entry(self, path: bytes, number: int = 0) -> Any:
        status = os.lstat(path)
        entry = pyfuse3.EntryAttributes()
        entry.entry_timeout = entry.attr_timeout = 0
        entry.st_ino = number or status.st_ino
        for field in ("mode", "nlink", "uid", "gid", "rdev", "size", "blocks", "blksize", "atime_ns", "mtime_ns", "ctime_ns"):
            setattr(entry, f"st_{field}", getattr(status, f"st_{field}"))
        return entry

    def _known(self, path: bytes) -> Any:
        entry = self._entry(path)
        paths = self._paths.setdefault(entry.st_ino, [])
        if path not in paths:
            paths.append(path)
        return entry

    def _lose(self, path: bytes) -> None:
        """Delete a file, or keep it where it is open."""
        number = os.lstat(path).st_ino
        if number in self._open.values() and number not in self._kept:
            self._deleted += 1
            at = os.path.join(os.path.dirname(path), b".nfs%016x%08x" % (number, self._deleted))
            os.rename(path, at)
            self._kept[number] = at
            self._moved(path, at)
            return
        os.unlink(path)
        self._forget_path(number, path)

    def _forget_path(self, number: int, path: bytes) -> None:
        paths = self._paths.get(number, [])
        if path in paths:
            paths.remove(path)
        if not paths:
            self._paths.pop(number, None)

    def _moved(self, old: bytes, new: bytes) -> None:
        for paths in self._paths.values():
            for index, path in enumerate(paths):
                if path == old or path.startswith(old + b"/"):
                    paths[index] = new + path[len(old) :]

    @_request
    def lookup(self, parent: int, name: bytes, _context: Any) -> Any:
        return self._known(self._at(parent, name))

    async def forget(self, forgotten: Any) -> None:
        """Keep all: the paths of a test are few."""

    @_request
    def getattr(self, number: int, _context: Any) -> Any:
        return self._entry(self._path(number), number)

    @_request
    def setattr(self, number: int, wanted: Any, fields: Any, handle: int | None, _context: Any) -> Any:
        path = self._path(number)
        if (fields.update_uid and wanted.st_uid != os.getuid()) or (fields.update_gid and wanted.st_gid != os.getgid()):
            _refuse(errno.EPERM)
        if fields.update_size:
            os.truncate(path if handle is None else handle, wanted.st_size)
        if fields.update_mode:
            os.chmod(path, stat.S_IMODE(wanted.st_mode))
        if fields.update_atime or fields.update_mtime:
            now = os.lstat(path)
            times = (
                wanted.st_atime_ns if fields.update_atime else now.st_atime_ns,
                wanted.st_mtime_ns if fields.update_mtime else now.st_mtime_ns,
            )
            os.utime(path, ns=times, follow_symlinks=False)
        return self._entry(path, number)

    @_request
    def readlink(self, number: int, _context: Any) -> bytes:
        return os.readlink(self._path(number))

    @_request
    def mknod(self, parent: int, name: bytes, mode: int, device: int, _context: Any) -> Any:
        if stat.S_IFMT(mode) in (stat.S_IFCHR, stat.S_IFBLK) and not self._has.devices:
            _refuse(errno.EPERM)
        os.mknod(self._at(parent, name), mode, device)
        return self._known(self._at(parent, name))

    @_request
    def mkdir(self, parent: int, name: bytes, mode: int, _context: Any) -> Any:
        os.mkdir(self._at(parent, name), mode)
        return self._known(self._at(parent, name))

    @_request
    def symlink(self, parent: int, name: bytes, target: bytes, _context: Any) -> Any:
        os.symlink(target, self._at(parent, name))
        return self._known(self._at(parent, name))

    @_request
    def link(self, number: int, parent: int, name: bytes, _context: Any) -> Any:
        if not self._has.links:
            _refuse(errno.EPERM)
        os.link(self._path(number), self._at(parent, name), follow_symlinks=False)
        return self._known(self._at(parent, name))

    @_request
    def unlink(self, parent: int, name: bytes, _context: Any) -> None:
        self._lose(self._at(parent, name))

    @_request
    def rmdir(self, parent: int, name: bytes, _context: Any) -> None:
        path = self._at(parent, name)
        number = os.lstat(path).st_ino
        os.rmdir(path)
        self._forget_path(number, path)

    @_request
    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, _context: Any) -> None:
        if flags:
            _refuse(errno.EINVAL)
        old, new = self._at(parent, name), self._at(new_parent, new_name)
        if os.path.lexists(new):
            one, other = os.lstat(old), os.lstat(new)
            if one.st_ino == other.st_ino:
                return
            if not stat.S_ISDIR(other.st_mode):
                self._lose(new)
            else:
                os.rmdir(new)
                self._forget_path(other.st_ino, new)
        os.rename(old, new)
        self._moved(old, new)

    @_request
    def open(self, number: int, flags: int, _context: Any) -> Any:
        handle = os.open(self._path(number), flags & ~os.O_NOFOLLOW)
        self._open[handle] = number
        return pyfuse3.FileInfo(fh=handle)

    @_request
    def create(self, parent: int, name: bytes, mode: int, flags: int, _context: Any) -> tuple[Any, Any]:
        path = self._at(parent, name)
        handle = os.open(path, flags | os.O_CREAT, mode)
        entry = self._known(path)
        self._open[handle] = entry.st_ino
        return pyfuse3.FileInfo(fh=handle), entry

    @_request
    def read(self, handle: int, offset: int, size: int) -> bytes:
        return os.pread(handle, size, offset)

    @_request
    def write(self, handle: int, offset: int, content: bytes) -> int:
        return os.pwrite(handle, content, offset)

    @_request
    def release(self, handle: int) -> None:
        os.close(handle)
        number = self._open.pop(handle)
        if number in self._kept and number not in self._open.values():
            path = self._kept.pop(number)
            path = next((one for one in self._paths.get(number, []) if b"/.nfs" in one), path)
            os.unlink(path)
            self._forget_path(number, path)

    @_request
    def fsync(self, handle: int, _data_only: bool) -> None:
        os.fsync(handle)

    @_request
    def opendir(self, number: int, _context: Any) -> int:
        self._path(number)
        return number

    @_request
    def readdir(self, number: int, start: int, token: Any) -> None:
        if start == 0:
            with os.scandir(self._path(number)) as found:
                self._listed[number] = list(found)
        for index, entry in enumerate(self._listed[number][start:], start):
            if not os.path.lexists(entry.path):
                continue
            if not pyfuse3.readdir_reply(token, entry.name, self._known(entry.path), index + 1):
                break

    @_request
    def releasedir(self, _number: int) -> None:
        pass

    @_request
    def statfs(self, _context: Any) -> Any:
        found = os.statvfs(self._source)
        reply = pyfuse3.StatvfsData()
        for field in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax"):
            setattr(reply, field, getattr(found, field))
        return reply

    def _with_xattrs(self, number: int) -> bytes:
        if not self._has.xattrs:
            _refuse(errno.EOPNOTSUPP)
        return self._path(number)

    @_request
    def getxattr(self, number: int, name: bytes, _context: Any) -> bytes:
        return os.getxattr(self._with_xattrs(number), name, follow_symlinks=False)

    @_request
    def listxattr(self, number: int, _context: Any) -> list[bytes]:
        return [os.fsencode(name) for name in os.listxattr(self._with_xattrs(number), follow_symlinks=False)]

    @_request
    def setxattr(self, number: int, name: bytes, value: bytes, _context: Any) -> None:
        os.setxattr(self._with_xattrs(number), name, value, follow_symlinks=False)

    @_request
    def removexattr(self, number: int, name: bytes, _context: Any) -> None:
        os.removexattr(self._with_xattrs(number), name, follow_symlinks=False)


if __name__ == "__main__":
    mount(sys.argv[1], sys.argv[2], Has(), int(sys.argv[3]))
