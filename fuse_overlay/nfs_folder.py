"""Folders of layers on file systems that are like NFS: without user xattrs, or renaming what is deleted while it is open.

Where there are no user xattrs, whiteouts and opaque marks are files, as in the layers of the OCI image specification (layer.md,
"Whiteouts") and in fuse-overlayfs: `.wh.NAME` hides what the layers below have as NAME, unless there is a NAME beside it;
`.wh..wh..opq` in a folder hides what they have in it. Names that begin so are not shown, and cannot be made.

NFS keeps a deleted file as `.nfsXXXX` in its folder until nobody on this node has it open (the kernel's fs/nfs/unlink.c), a FUSE
file system of libfuse as `.fuse_hiddenXXXX`. These are no files of the union.
"""

import os
import re
import stat
from typing import Any, Final

from fuse_overlay.layer import ITSELF, DirectoryFolder, Opacity

PREFIX: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_NEW_MARK: Final = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME: Final = 255  # bytes
_DELETED: Final = re.compile(rb"\.nfs[0-9a-f]{24}|\.fuse_hidden[0-9a-f]{16}")
_make_status: Any = os.stat_result
_WHITEOUT: Final[os.stat_result] = _make_status((stat.S_IFCHR, *(0,) * 9), {"st_rdev": 0})
"""The status that a whiteout is found with: that of one in the kernel's form."""


class NfsFolder(DirectoryFolder):
    """A folder of a layer on such a file system. `dotted`: marks are files."""

    __slots__ = ("dotted",)

    dotted: bool  # set right after it is made: the arguments are those of a `DirectoryFolder`

    def find(self, name: bytes) -> os.stat_result | None:
        """See `Folder.find`."""
        if not self.dotted:
            return super().find(name)
        if name.startswith(PREFIX):
            return None
        status = super().find(name)
        return _WHITEOUT if status is None and name != ITSELF and self._has_mark(name) else status

    def child(self, name: bytes) -> "NfsFolder":
        """See `Folder.child`."""
        child = NfsFolder(self._open_folders, self, name, notes=self._notes)
        child.dotted = self.dotted
        return child

    def names(self) -> list[bytes]:
        """See `Folder.names`."""
        return [name for name in super().names() if not (self.dotted and name.startswith(PREFIX)) and not _DELETED.fullmatch(name)]

    def opacity(self) -> Opacity:
        """See `Folder.opacity`."""
        if self.dotted and self._opacity is None:
            self._opacity = Opacity.OPAQUE if self.has(_OPAQUE) else Opacity.NONE
        return super().opacity()

    def set_opacity(self, opacity: Opacity) -> None:
        """See `DirectoryFolder.set_opacity`; `WHITEOUTS` is never asked for where marks are files."""
        if not self.dotted:
            super().set_opacity(opacity)
            return
        self._make(_OPAQUE)
        self._opacity = opacity

    def white_out(self, name: bytes) -> None:
        """See `DirectoryFolder.white_out`; where marks are files, what this folder itself has as `name` stays."""
        if self.dotted:
            self._make(PREFIX + name)
        else:
            super().white_out(name)

    def lift_whiteout(self, name: bytes) -> None:
        """See `DirectoryFolder.lift_whiteout`; to us it would not hide that, but to fuse-overlayfs it would."""
        if self.dotted and self._has_mark(name):
            os.unlink(PREFIX + name, dir_fd=self.descriptor)

    def _make(self, mark: bytes) -> None:
        os.close(os.open(mark, _NEW_MARK, 0o600, dir_fd=self.descriptor))

    def _has_mark(self, name: bytes) -> bool:
        mark = PREFIX + name
        return len(mark) <= _LONGEST_NAME and self.has(mark)
