"""The first request on its way through `Negotiation`; a socket pair stands for the kernel."""

import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from fuse_overlay.negotiation import CACHE_SYMLINKS, HANDLE_KILLPRIV_V2, Negotiation, amended

_ASYNC_READ = 1  # FUSE_ASYNC_READ, which libfuse knows
_HEADER_IN = struct.pack("=IIQQIIIHH", 104, 26, 2, 0, 0, 0, 0, 0, 0)


def _request(flags: int) -> bytes:
    return _HEADER_IN + struct.pack("=IIII", 7, 40, 131072, flags) + bytes(48)


def _answer(flags: int) -> bytes:
    return struct.pack("=IiQ", 80, 0, 2) + struct.pack("=IIII", 7, 31, 131072, flags) + bytes(48)


def _flags(answer: bytes) -> int:
    return int(struct.unpack_from("=I", answer, 28)[0])


@pytest.fixture
def kernel() -> Iterator[tuple[socket.socket, int]]:
    """Yield the kernel's end, and the descriptor that libfuse uses."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs.fileno()


def test_what_the_kernel_offers_is_added_and_nothing_else_changed(kernel: tuple[socket.socket, int]) -> None:
    ours, fuse = kernel
    ours.send(_request(_ASYNC_READ | CACHE_SYMLINKS | HANDLE_KILLPRIV_V2))
    negotiation = Negotiation(fuse)
    assert os.read(fuse, 4096) == _request(_ASYNC_READ | CACHE_SYMLINKS | HANDLE_KILLPRIV_V2)
    assert not select.select([negotiation.answered], [], [], 0)[0]
    os.write(fuse, _answer(_ASYNC_READ))
    assert select.select([negotiation.answered], [], [], 5)[0]
    negotiation.finish()
    assert ours.recv(4096) == _answer(_ASYNC_READ | CACHE_SYMLINKS | HANDLE_KILLPRIV_V2)


def test_libfuse_then_talks_with_the_kernel(kernel: tuple[socket.socket, int]) -> None:
    ours, fuse = kernel
    ours.send(_request(0))
    negotiation = Negotiation(fuse)
    os.read(fuse, 4096)
    os.write(fuse, _answer(0))
    negotiation.finish()
    ours.recv(4096)
    ours.send(b"the next request")
    assert os.read(fuse, 4096) == b"the next request"
    os.write(fuse, b"its answer")
    assert ours.recv(4096) == b"its answer"


def test_an_older_kernel_is_not_told_of_what_it_does_not_offer(kernel: tuple[socket.socket, int]) -> None:
    ours, fuse = kernel
    ours.send(_request(_ASYNC_READ | CACHE_SYMLINKS))
    negotiation = Negotiation(fuse)
    os.read(fuse, 4096)
    os.write(fuse, _answer(_ASYNC_READ))
    negotiation.finish()
    assert _flags(ours.recv(4096)) == _ASYNC_READ | CACHE_SYMLINKS


def test_a_refusal_stays_one() -> None:
    refusal = struct.pack("=IiQ", 16, -71, 2)
    assert amended(refusal, CACHE_SYMLINKS) == refusal
