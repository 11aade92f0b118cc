"""`rl cp`: who reads, who writes, and the pipe between them."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rootless.containers.copying.extraction import Owner, extract_archive, extract_copy
from rootless.containers.copying.places import Place
from rootless.containers.copying.roots import started_copy
from rootless.containers.copying.tree import TOP, write_tree
from rootless.errors import InvalidInput, RlError
from rootless.images.output_file import write_all
from rootless.locations import Locations

_BLOCK: Final = 1 << 20


class Location(NamedTuple):
    """One side of a copy: a path of a container, of the node (`container` is None), or `-` for a standard stream."""

    container: str | None
    path: str

    @property
    def is_stream(self) -> bool:
        """Whether it is standard input or output, as a tar."""
        return self.container is None and self.path == "-"

    @property
    def shown(self) -> str:
        """How errors name it."""
        return self.path if self.container is None else f"{self.container}:{self.path}"


class CopyOptions(NamedTuple):
    """`archive`: keep the owners; `follow`: copy what the source links to."""

    archive: bool
    follow: bool


def copy(locations: Locations, source: Location, target: Location, options: CopyOptions) -> None:
    """Copy between a container and the node, a standard stream, or another container. The caller is single-threaded.

    Raises `InvalidInput`, `NoSuchObject`, `InUse`, `NodeLacks`, `CorruptImage` (a malformed tar on standard input), `OSError`.
    """
    if source.container is None and target.container is None:
        raise InvalidInput("one of the two must be a path in a container", "write it as CONTAINER:PATH")
    if source.is_stream:
        _unpack_input(locations, target, options)
    elif target.is_stream:
        _write_output(locations, source, options)
    else:
        _copy_through_pipe(locations, source, target, options)


def _unpack_input(locations: Locations, target: Location, options: CopyOptions) -> None:
    def unpack(root: int) -> None:
        extract_archive(_place(target, root), _blocks(0), Owner(options.archive))

    _in_container(locations, target, unpack)


def _write_output(locations: Locations, source: Location, options: CopyOptions) -> None:
    top = os.fsencode(os.path.basename(source.path.rstrip("/")) or ".")

    def write(root: int) -> None:
        write_tree(_place(source, root), lambda data: write_all(1, data), top, follow=options.follow)

    _in_container(locations, source, write)


def _in_container(locations: Locations, side: Location, work: Callable[[int], None]) -> None:
    if side.container is None:
        raise InvalidInput("one of the two must be a path in a container", "write it as CONTAINER:PATH")
    with started_copy(locations, side.container, work) as wait:
        wait()


class _Pipe:
    """A pipe whose ends are closed one by one, in each process that has it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe2(os.O_CLOEXEC)

    def close_reading(self) -> None:
        if self.reading >= 0:
            os.close(self.reading)
            self.reading = -1

    def close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


def _copy_through_pipe(locations: Locations, source: Location, target: Location, options: CopyOptions) -> None:
    pipe = _Pipe()

    def produce(root: int | None) -> None:
        pipe.close_reading()
        try:
            write_tree(_place(source, root), lambda data: write_all(pipe.writing, data), TOP, follow=options.follow)
        finally:
            pipe.close_writing()

    def consume(root: int | None) -> None:
        pipe.close_writing()
        try:
            extract_copy(_place(target, root), source.path, _blocks(pipe.reading), Owner(options.archive))
        finally:
            pipe.close_reading()

    with contextlib.ExitStack() as stack:
        stack.callback(pipe.close_reading)
        stack.callback(pipe.close_writing)
        producer = _begin(stack, locations, source, produce)
        consumer = _begin(stack, locations, target, consume)
        if producer is not None and consumer is not None:
            pipe.close_reading()
            pipe.close_writing()
        # The side that is ours runs here, between the start of the other and its end.
        of_source = _failure(produce, None) if producer is None else None
        of_target = _failure(consume, None) if consumer is None else _failure(consumer)
        if producer is not None:
            of_source = _failure(producer)
    _raise_cause(of_source, of_target)


def _begin(
    stack: contextlib.ExitStack, locations: Locations, side: Location, work: Callable[[int | None], None]
) -> Callable[[], None] | None:
    """Start the worker of a side that is a container's; None for the node's side."""
    if side.container is None:
        return None
    return stack.enter_context(started_copy(locations, side.container, work))


def _failure(action: Callable[..., None], *arguments: object) -> RlError | OSError | None:
    try:
        action(*arguments)
    except (RlError, OSError) as error:
        return error
    return None


def _raise_cause(of_source: RlError | OSError | None, of_target: RlError | OSError | None) -> None:
    """Raise what went wrong first: a target that gave up is a broken pipe to the source; a source that did, a bad archive."""
    for error in (of_source, of_target):
        if error is not None and not isinstance(error, BrokenPipeError):
            raise error


def _place(side: Location, root: int | None) -> Place:
    return Place(root, side.path, side.shown)


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, _BLOCK):
        yield block
