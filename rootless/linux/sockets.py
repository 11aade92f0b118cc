"""Unix sockets that carry packets with descriptors between the engine's own processes.

The standard `socket` module makes enumerations of all constants when imported (5 ms of `rl run`); this uses the C module below it.
"""

import array
import contextlib
import errno
import os
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_TRUNC,
    SCM_RIGHTS,
    SHUT_WR,
    SO_ERROR,
    SO_SNDBUF,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)
from collections.abc import Sequence

__all__ = [
    "AF_UNIX", "SHUT_WR", "SOCK_CLOEXEC", "SOCK_DGRAM", "SOCK_NONBLOCK", "SOCK_SEQPACKET", "SOCK_STREAM", "SOL_SOCKET", "SO_ERROR",
    "SO_SNDBUF",
    "packet_pair", "receive_packet", "send_packet", "socket", "stream_pair",
    "listen_at", "connect_to", "accept_from", "accept_packets", "receive_descriptor",
]  # fmt: skip

MAX_PACKET = 1 << 16
MAX_DESCRIPTORS = 253  # the kernel's SCM_MAX_FD


def packet_pair() -> tuple[socket, socket]:
    """Return a connected pair of SOCK_SEQPACKET sockets: a packet arrives whole, with its descriptors, or not at all."""
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)


def stream_pair() -> tuple[socket, socket]:
    """Return a connected pair of stream sockets."""
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)


def send_packet(sock: socket, payload: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one packet of at most `MAX_PACKET` bytes, with at most `MAX_DESCRIPTORS` descriptors. Raises `OSError` (EMSGSIZE)."""
    if len(payload) > MAX_PACKET:
        raise OSError(errno.EMSGSIZE, f"{os.strerror(errno.EMSGSIZE)}: {len(payload)} bytes")
    rights = [(SOL_SOCKET, SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    sock.sendmsg([payload], rights)


def receive_packet(sock: socket, length: int = MAX_PACKET) -> tuple[bytes, list[int]]:
    """Return the next packet and its descriptors, which the caller closes; an empty packet is the end of file.

    Of a stream it is what was sent with descriptors, or `length` bytes of that.

    Raises `OSError` (EMSGSIZE) where a part of it would be lost.
    """
    payload, ancillary, flags, _address = sock.recvmsg(
        length, CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize), MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if flags & (MSG_TRUNC | MSG_CTRUNC):
        for descriptor in descriptors:
            os.close(descriptor)
        raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
    return payload, list(descriptors)


def listen_at(folder: str, name: str, kind: int = SOCK_STREAM | SOCK_NONBLOCK) -> socket:
    """Return a listening socket at folder/name, of any length, replacing a stale one; a stream socket unless `kind` says else.

    A socket address holds 108 bytes, so the folder is given as /proc/self/fd/N.
    """
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):  # the usual case: nothing stale
            os.unlink(name, dir_fd=folder_fd)
        listener = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0)
        listener.bind(f"/proc/self/fd/{folder_fd}/{name}")
        listener.listen(64)
    finally:
        os.close(folder_fd)
    return listener


def connect_to(folder: str, name: str, kind: int = SOCK_STREAM) -> socket:
    """Return a socket connected to folder/name. Raises `FileNotFoundError` or `ConnectionRefusedError`."""
    folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0)
    try:
        sock.connect(f"/proc/self/fd/{folder_fd}/{name}")
    except OSError:
        sock.close()
        raise
    finally:
        os.close(folder_fd)
    return sock


def accept_from(listener: socket) -> socket:
    """Accept one connection; it is non-blocking and closed on exec."""
    descriptor, _address = listener._accept()  # type: ignore[attr-defined]  # typeshed leaves the C method out
    connection = socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
    connection.setblocking(False)
    return connection


def accept_packets(listener: socket) -> socket:
    """Wait for one connection at a listening SOCK_SEQPACKET socket."""
    descriptor, _address = listener._accept()  # type: ignore[attr-defined]  # as above
    return socket(AF_UNIX, SOCK_SEQPACKET, 0, descriptor)


def receive_descriptor(listener: socket) -> int:
    """Wait for one connection at a listening socket, and for the one descriptor that it sends. Raises `OSError`."""
    descriptor, _address = listener._accept()  # type: ignore[attr-defined]  # as above
    connection = socket(AF_UNIX, SOCK_STREAM, 0, descriptor)
    try:
        _name, descriptors = receive_packet(connection)
    finally:
        connection.close()
    if len(descriptors) != 1:
        raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
    return descriptors[0]
