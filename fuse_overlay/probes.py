"""What the file system of a layer or an upper can do, found out by trying it."""

import errno
import os

from fuse_overlay.noted import ATTRIBUTE


def has_xattrs(tree: int) -> bool:
    """Tell whether files of an open tree may have user xattrs: not on NFS before its version 4.2, for example."""
    try:
        os.getxattr(tree, ATTRIBUTE)
    except OSError as error:
        return error.errno != errno.EOPNOTSUPP
    return True


def keeps_deleted(work: int) -> bool:
    """Tell whether a file that is deleted while it is open keeps a name (NFS), or cannot be reached any more (many of FUSE).

    Tries it in the open folder `work`.
    """
    name = b"#deleted"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=work))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # what is there can be read all the same, and deleted
            return False
        raise
    anchor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=work)
    try:
        os.unlink(name, dir_fd=work)
        os.close(os.open(b"/proc/self/fd/%d" % anchor, os.O_RDONLY | os.O_CLOEXEC))
        return os.stat(anchor).st_nlink != 0
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return True
        raise
    finally:
        os.close(anchor)
