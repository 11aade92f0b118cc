"""Copy-up: giving a file of a lower layer a copy in the upper, before it is changed (kernel: fs/overlayfs/copy_up.c).

The copy is made complete under a temporary name in the work folder and renamed to its place, so that the upper never holds half a
file. Data is shared by reflink where the file system can. It is not synced, as fuse-overlayfs does not either: a container's
writes are as durable as the container makes them.
"""

import contextlib
import errno
import fcntl
import os
import stat
from typing import Final

from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import ITSELF, Content, DirectoryFolder, Folder
from fuse_overlay.union import Union
from fuse_overlay.xattrs import is_private

_FICLONE: Final = 0x40049409  # ioctl_ficlone(2)
_CHUNK: Final = 1 << 24
_BUFFER: Final = 1 << 20
_NO_SHARING: Final = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM, errno.ETXTBSY)
_NO_COPYING: Final = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_NOT_OURS: Final = (errno.EPERM, errno.EOPNOTSUPP)


def directory(union: Union, target: Directory) -> DirectoryFolder:
    """Return the upper folder of a directory, made if it had none, with those above it."""
    if target.upper is not None:
        return target.upper
    above = [target]
    while above[-1].upper is None:
        parent = above[-1].parent
        if parent is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), above[-1].name)
        above.append(parent)
    folder = above.pop().upper
    assert folder is not None
    while above:  # not by recursion: there may be thousands
        folder = _copy_directory(union, above.pop(), folder)
    return folder


def _copy_directory(union: Union, target: Directory, folder: DirectoryFolder) -> DirectoryFolder:
    """Make the upper folder of a directory in that of its parent."""
    lower = target.lowers[0]
    status = lower.find(ITSELF)
    assert status is not None
    temporary = union.temporary_name()
    os.mkdir(temporary, 0o700, dir_fd=union.work.descriptor)
    try:
        _copy_attributes(union, lower, ITSELF, status, temporary)
        _put(union, temporary, folder, target.name)
    except OSError:
        with contextlib.suppress(FileNotFoundError):  # it has reached its place
            os.rmdir(temporary, dir_fd=union.work.descriptor)
        raise
    upper = folder.child(target.name)
    target.take_upper(upper)
    return upper


def file(union: Union, inode: Inode, size: int | None = None) -> None:
    """Give `inode` a copy in the upper unless it has one, with its first `size` bytes (all: None)."""
    if inode.in_upper:
        return
    if isinstance(inode, Directory):
        directory(union, inode)
        return
    status = inode.status()
    temporary = union.temporary_name()
    try:
        _copy_content(union, inode, status, temporary, size)
        _copy_attributes(union, inode.folder, inode.file, status, temporary)
        _take_place(union, inode, temporary)
    except OSError:
        with contextlib.suppress(FileNotFoundError):  # it failed before it was made
            os.unlink(temporary, dir_fd=union.work.descriptor)
        raise
    if status.st_nlink > 1 and inode.anchor < 0:
        union.inodes.linked[inode.number] = inode
        _link_aliases(union, inode)
    _replace_handles(inode)


def _take_place(union: Union, inode: Inode, temporary: bytes) -> None:
    """Let the finished copy be the inode's file."""
    work = union.work.descriptor
    status = os.stat(temporary, dir_fd=work, follow_symlinks=False)
    if inode.parent is None and union.keeps_deleted:
        inode.folder, inode.file = union.work, temporary
    elif inode.parent is None:  # deleted, but still open
        inode.anchor = os.open(temporary, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work)
        os.unlink(temporary, dir_fd=work)
        inode.folder = union.upper  # its owners are kept as the upper's are
    else:
        folder = directory(union, inode.parent)
        _put(union, temporary, folder, inode.name)
        inode.folder, inode.file = folder, inode.name
    inode.in_upper = True
    # Not before: if there is no room for the copy, its number on disk goes to another file.
    union.inodes.note_copy(status, inode.number)


def join(union: Union, inode: Inode, parent: Directory, name: bytes) -> os.stat_result:
    """Make a further name of a lower file that has been copied up a link to the copy; return the status."""
    if inode.anchor < 0:
        _link(union, inode, parent, name)
        inode.add_name(parent, name)
    return inode.status()


def _link_aliases(union: Union, inode: Inode) -> None:
    for parent, name in inode.aliases or ():
        _link(union, inode, parent, name)


def _link(union: Union, inode: Inode, parent: Directory, name: bytes) -> None:
    folder = directory(union, parent)
    assert isinstance(inode.folder, DirectoryFolder)
    os.link(inode.file, name, src_dir_fd=inode.folder.descriptor, dst_dir_fd=folder.descriptor, follow_symlinks=False)


def _put(union: Union, temporary: bytes, folder: DirectoryFolder, name: bytes) -> None:
    """Rename to the place; the time stamps of the folder stay, because nothing changes for who looks at the union."""
    status = folder.find(ITSELF)
    assert status is not None
    os.rename(temporary, name, src_dir_fd=union.work.descriptor, dst_dir_fd=folder.descriptor)
    os.utime(ITSELF, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=folder.descriptor)


def _copy_content(union: Union, inode: Inode, status: os.stat_result, temporary: bytes, size: int | None) -> None:
    work = union.work.descriptor
    if inode.kind == stat.S_IFLNK:
        os.symlink(inode.folder.read_link(inode.file), temporary, dir_fd=work)
        return
    if inode.kind != stat.S_IFREG:
        union.owners.make_node(union.work, temporary, inode.kind | 0o600, status.st_rdev)
        return
    writing = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=work)
    try:
        wanted = status.st_size if size is None else min(size, status.st_size)
        if wanted:
            reading = inode.folder.open(inode.file, os.O_RDONLY)
            try:
                if isinstance(reading, int):
                    _copy_bytes(reading, writing, wanted, whole=wanted == status.st_size)
                else:
                    _write_content(reading, writing, wanted)
            finally:
                os.close(reading) if isinstance(reading, int) else reading.close()
    finally:
        os.close(writing)


def _copy_bytes(reading: int, writing: int, wanted: int, whole: bool) -> None:
    """Copy the first `wanted` bytes: shared by reflink if they are the whole file, else in the kernel, else through memory."""
    if whole:
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
        except OSError as error:
            if error.errno not in _NO_SHARING:
                raise
        else:
            return
    try:
        while wanted and (copied := os.copy_file_range(reading, writing, min(wanted, _CHUNK))):
            wanted -= copied
    except OSError as error:
        if error.errno not in _NO_COPYING:
            raise
        while wanted and (content := os.read(reading, min(wanted, _BUFFER))):
            wanted -= len(content)
            _write(writing, content)


def _write_content(content: Content, writing: int, wanted: int) -> None:
    offset = 0
    while offset < wanted and (part := content.read(offset, min(wanted - offset, _BUFFER))):
        _write(writing, part)
        offset += len(part)


def _write(writing: int, content: bytes) -> None:
    while content:
        content = content[os.write(writing, content) :]


def _copy_attributes(union: Union, source: Folder, name: bytes, status: os.stat_result, temporary: bytes) -> None:
    """Give a copy in the work folder owner, extended attributes, mode and times, in an order in which none undoes another."""
    place = union.work.descriptor
    union.owners.copy(union.work, temporary, status)
    for attribute in _readable_xattrs(source, name):
        try:
            os.setxattr(union.work.path(temporary), attribute, source.get_xattr(name, attribute), follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_OURS:  # trusted.*, security.selinux and the like are the host's to write
                raise
    union.owners.copy_mode(union.work, temporary, status)
    os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=place, follow_symlinks=False)


def _readable_xattrs(source: Folder, name: bytes) -> list[bytes]:
    try:
        return [attribute for attribute in source.list_xattrs(name) if not is_private(attribute)]
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # a file system without extended attributes
            return []
        raise


def _replace_handles(inode: Inode) -> None:
    """Let the descriptors that are open on the lower file refer to the copy.

    The kernel has one page cache for the inode; a page read through an old descriptor would bring the old content back into it.
    """
    if not inode.lower_handles:
        return
    copy = os.open(inode.path(), os.O_RDONLY | os.O_CLOEXEC)
    try:
        for handle in inode.lower_handles:
            os.dup2(copy, handle, inheritable=False)
    finally:
        os.close(copy)
    inode.lower_handles = None
