"""The first request: which of its abilities the kernel shall use, some of which pyfuse3 has no switch for.

Theory of operation. The kernel's first request is INIT, with the flags of what it can do; the answer has those that it shall do
(struct fuse_init_in and fuse_init_out in the kernel's include/uapi/linux/fuse.h). libfuse reads it and answers, with the flags that
it and pyfuse3 know. Here it meets it on a socket pair that has for so long the number of the descriptor of /dev/fuse:

    kernel  -- INIT -->  Negotiation()  -- the same -->  libfuse
    kernel  <-- INIT with more flags --  finish()  <-- INIT --  libfuse      once `answered` is readable

After that the number is /dev/fuse again, so that nothing stands between the two any more.

* FUSE_CACHE_SYMLINKS: targets are kept as pages of a file are. Without it every path through /bin, /lib or /lib64, which are
  symlinks in most images, costs a request: 27,000 of the 36,000 of compiling 200 files.
* FUSE_HANDLE_KILLPRIV_V2: the server takes set-ID bits away, as it does anyway. The kernel then sends it what is written to a file
  with such bits at once, not from its cache, and remembers that a file has no capabilities: else it asks before each write(2).
"""

import errno
import os
import socket
import struct
from typing import Final

_LARGEST: Final = (1 << 20) + 4096  # the kernel refuses to read into less than the largest request might need
_OPCODE: Final = struct.Struct("=4xI")  # of struct fuse_in_header
_OFFERED: Final = struct.Struct("=52xI")  # fuse_init_in.flags, after the header of 40 bytes
_CHOSEN_AT: Final = 28  # fuse_init_out.flags, after the header of 16 bytes
_CHOSEN: Final = struct.Struct("=I")
_INIT: Final = 26
CACHE_SYMLINKS: Final = 1 << 23
HANDLE_KILLPRIV_V2: Final = 1 << 28
_WANTED: Final = CACHE_SYMLINKS | HANDLE_KILLPRIV_V2


class Negotiation:
    """Stands between the kernel and libfuse for the first request. `fuse` is the descriptor of /dev/fuse that libfuse uses.

    Raises `ConnectionAbortedError` when the mount has gone.
    """

    def __init__(self, fuse: int) -> None:
        self._fuse = fuse
        self._kernel = os.dup(fuse)
        request = _read(self._kernel)
        assert _OPCODE.unpack_from(request)[0] == _INIT  # the kernel holds all others back until it is answered
        self._wanted = _OFFERED.unpack_from(request)[0] & _WANTED
        self._library, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            os.dup2(theirs.fileno(), fuse, inheritable=False)
        self._library.send(request)

    @property
    def answered(self) -> int:
        """A descriptor that is readable when libfuse has answered."""
        return self._library.fileno()

    def finish(self) -> None:
        """Pass on what libfuse has answered, and let it talk with the kernel directly."""
        os.write(self._kernel, amended(self._library.recv(_LARGEST), self._wanted))
        os.dup2(self._kernel, self._fuse, inheritable=False)
        os.close(self._kernel)
        self._library.close()


def amended(answer: bytes, flags: int) -> bytes:
    """Return an answer to INIT with further flags; one that is an error, and so has none, as it is."""
    if len(answer) < _CHOSEN_AT + _CHOSEN.size:
        return answer
    changed = bytearray(answer)
    _CHOSEN.pack_into(changed, _CHOSEN_AT, _CHOSEN.unpack_from(answer, _CHOSEN_AT)[0] | flags)
    return bytes(changed)


def _read(kernel: int) -> bytes:
    try:
        return os.read(kernel, _LARGEST)
    except OSError as error:
        if error.errno == errno.ENODEV:  # unmounted before anybody asked for anything
            raise ConnectionAbortedError(error.errno, os.strerror(error.errno), "/dev/fuse") from error
        raise
