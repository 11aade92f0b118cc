"""Putting one file of the upper in the place of another one that cannot be replaced by rename(2): a folder and a whiteout.

Theory of operation. RENAME_EXCHANGE does it in one step. Where the file system does not know it (NFS, Lustre, many of FUSE), what
is there is moved to the work folder first, under a record that says where it came from (a symbolic link `#back-#N` to the path, for
`#N`); then its place is taken; then the record goes. A server that finds a record moves `#N` back where nothing has taken its
place: after a kill at any point there is the one or the other, and never the lower file that both hide.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from fuse_overlay.layer import DirectoryFolder
from fuse_overlay.union import RECORD, Union

UNKNOWN: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that knows no such flag."""


def put(union: Union, temporary: bytes, folder: DirectoryFolder, name: bytes) -> bytes:
    """Give the place of what `folder` has as `name` to `temporary` of the work folder; return the name of the former there."""
    from fuse_overlay.renameat2 import EXCHANGE, renameat2  # ctypes: 10 ms

    work = union.work.descriptor
    try:
        renameat2(work, temporary, folder.descriptor, name, EXCHANGE)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
    else:
        return temporary
    return replace(union, folder, name, lambda: os.rename(temporary, name, src_dir_fd=work, dst_dir_fd=folder.descriptor))


def replace(union: Union, folder: DirectoryFolder, name: bytes, take_place: Callable[[], None]) -> bytes:
    """Move what `folder` has as `name` to the work folder, and call what gives its place away; return its name there."""
    work = union.work.descriptor
    aside = union.temporary_name()
    record = RECORD + aside
    os.symlink(folder.where(name), record, dir_fd=work)
    try:
        os.rename(name, aside, src_dir_fd=folder.descriptor, dst_dir_fd=work)
        try:
            take_place()
        except OSError:
            os.rename(aside, name, src_dir_fd=work, dst_dir_fd=folder.descriptor)
            raise
    finally:
        os.unlink(record, dir_fd=work)
    return aside


def recover(union: Union, record: bytes) -> None:
    """Move back what a server that was killed has moved aside, where nothing has taken its place."""
    work = union.work.descriptor
    *parents, name = os.readlink(record, dir_fd=work).split(b"/")
    folder = union.upper
    with contextlib.suppress(FileNotFoundError):  # it was killed before it moved anything
        for parent in parents:
            folder = folder.child(parent)
        if not folder.has(name):
            os.rename(record.removeprefix(RECORD), name, src_dir_fd=work, dst_dir_fd=folder.descriptor)
