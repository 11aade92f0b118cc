"""Keeping an image's files out of our own interpreter.

A process of ours that enters a container's root or PID namespace is still a Python interpreter. After the change of root its import
path would name files of the image, and a container's root could open it through /proc. So before it enters, it imports everything,
can import nothing any more, and is not dumpable.
"""

# What the entered code reaches lazily: the codecs of file names and of error texts. No traceback is ever printed there: it would
# read source files by paths that are the image's.
import encodings.ascii
import encodings.latin_1
import encodings.utf_8  # noqa: F401
import sys

from rootless.linux.own_process import set_dumpable


def close_interpreter() -> None:
    """Make this process unable to import and closed to ptrace and /proc; there is no way back short of execve."""
    set_dumpable(False)
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()
