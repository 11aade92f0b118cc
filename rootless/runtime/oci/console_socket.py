"""`--console-socket`: the terminal's master goes to another program over a stream socket (runc, docs/terminals.md).

One message: the descriptor by SCM_RIGHTS, with a name as its content, which receivers read and only show.
"""

import array
from _socket import SCM_RIGHTS

from rootless.errors import InvalidInput, os_error_text
from rootless.linux.sockets import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

_NAME = b"/dev/ptmx"


def send(path: str, master: int) -> None:
    """Send the master to whoever listens at `path`. Raises `InvalidInput` when that does not work."""
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)
    try:
        sock.connect(path)
        sock.sendmsg([_NAME], [(SOL_SOCKET, SCM_RIGHTS, array.array("i", [master]))])
    except OSError as error:
        raise InvalidInput(f"cannot send the terminal to the console socket {path}: {os_error_text(error)}") from None
    finally:
        sock.close()
