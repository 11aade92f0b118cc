"""The context of a build: a folder, a tar on standard input, or a git repository; its Dockerfile, and what it leaves out.

What is not a folder of the user's is put into one below the data root, which goes with the build; of one that was killed, with the
next build.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Final, NamedTuple

from rootless.build import download, git, scratch
from rootless.build.dockerfile.ignore import NOTHING, Ignored, read_ignored
from rootless.build.stage import Folder
from rootless.containers.copying.extraction import Owner, extract_archive
from rootless.containers.copying.places import Place
from rootless.errors import CorruptImage, InvalidInput, os_error_text
from rootless.images import tar
from rootless.images.archive_blocks import archive_blocks, is_compressed_archive
from rootless.images.compression import Limits
from rootless.linux.openat2 import open_in_root
from rootless.locations import Locations

_LIMIT: Final = 16 << 20  # bytes of a Dockerfile, and of what says what is left out
_BUFFER: Final = 1 << 20
_NAMES: Final = ("Dockerfile", "Containerfile")
_IGNORE_FILES: Final = (".containerignore", ".dockerignore")


class Context(NamedTuple):
    """What is built from: the files, the Dockerfile's text, and what messages call it."""

    folder: Folder
    dockerfile: str
    name: str


@contextlib.contextmanager
def opened(locations: Locations, path: str, dockerfile: str | None) -> Iterator[Context]:
    """Yield the context that PATH names: a folder, `-` for standard input, the URL of a git repository, or of what `-` takes.

    `dockerfile` is what -f gives: of a folder a path of the node's, else one in the context; `-` is standard input. Raises
    `InvalidInput`, `NoSuchObject`, `OSError`.
    """
    with scratch.folder(locations) as temporary:
        if path == "-":
            yield _from_stdin(temporary, dockerfile)
        elif git.is_url(path):
            yield _in_folder(git.checked_out(path, temporary, keeps_git=False), dockerfile)
        elif download.is_url(path):
            yield _from_url(path, temporary, dockerfile)
        elif not os.path.isdir(path):
            hint = "give a folder, - or the URL of a git repository"
            raise InvalidInput(f'unable to prepare context: path "{path}" not found', hint)
        else:
            yield _of_user(os.path.abspath(path), dockerfile)


@contextlib.contextmanager
def named(locations: Locations, entries: Sequence[str]) -> Iterator[dict[str, Folder | str]]:
    """Yield the contexts of `--build-context NAME=…` by name in lower case: folders, and names of images.

    A value is a folder, the URL of a git repository, `docker-image://IMAGE` or `oci-layout://FOLDER[:TAG]`. Raises `InvalidInput`,
    `NoSuchObject`, `OSError`.
    """
    found: dict[str, Folder | str] = {}
    with scratch.folder(locations) as temporary:
        for entry in entries:
            name, _, value = entry.partition("=")
            if not name or not value:
                raise InvalidInput(f"invalid context value: {entry:.200}, expected key=value", "--build-context NAME=FOLDER")
            if value.startswith("docker-image://"):
                found[name.lower()] = value.removeprefix("docker-image://")
            elif value.startswith("oci-layout://"):
                found[name.lower()] = f"oci:{value.removeprefix('oci-layout://')}"
            elif git.is_url(value):
                found[name.lower()] = Folder(git.checked_out(value, temporary, keeps_git=False))
            elif os.path.isdir(value):
                found[name.lower()] = Folder(os.path.abspath(value), _ignored(os.path.abspath(value), None))
            else:
                raise InvalidInput(f"unable to prepare context {name}: path {value!r:.200} not found", "give a folder")
        yield found


def _of_user(path: str, dockerfile: str | None) -> Context:
    """Return a folder of the user's as the context; the Dockerfile may be anywhere."""
    if dockerfile == "-":
        return Context(Folder(path, _ignored(path, None)), _text(sys.stdin.buffer), "Dockerfile")
    names = [dockerfile] if dockerfile is not None else [f"{path}/{name}" for name in _NAMES]
    for name in names:
        try:
            with open(name, "rb") as file:
                return Context(Folder(path, _ignored(path, name)), _text(file), os.path.basename(name))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"cannot read the Dockerfile: {os_error_text(error)}") from error
    raise InvalidInput(f"failed to read dockerfile: open {names[0]}: no such file or directory", "name it with -f")


def _in_folder(path: str, dockerfile: str | None) -> Context:
    """Return a folder that somebody else has filled as the context; the Dockerfile is in it, and no link leads out."""
    names = [dockerfile.lstrip("/")] if dockerfile is not None else list(_NAMES)
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            try:
                with open(open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                    return Context(Folder(path, _ignored(path, f"{path}/{name}")), _text(file), os.path.basename(name))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InvalidInput(f"cannot read the Dockerfile: {os_error_text(error)}") from error
    finally:
        os.close(root)
    raise InvalidInput(f"failed to read dockerfile: open {names[0]}: no such file or directory", "name it with -f")


def _from_stdin(temporary: str, dockerfile: str | None) -> Context:
    """Return what standard input has: a tar, or a Dockerfile for a build without files."""
    if dockerfile == "-":
        text = "invalid argument: can't use stdin for both build context and dockerfile"
        raise InvalidInput(text, "give a folder, or the -f of a file")
    return _from_stream(io.BufferedReader(io.FileIO(0, closefd=False), _BUFFER), "standard input", temporary, dockerfile)


def _from_url(url: str, temporary: str, dockerfile: str | None) -> Context:
    """Return what a URL gives: a tar, or a Dockerfile for a build without files."""
    folder = f"{temporary}/files"
    os.mkdir(folder, 0o755)
    with io.BufferedReader(io.FileIO(f"{temporary}/{download.download(url, temporary)}"), _BUFFER) as file:
        return _from_stream(file, url, folder, dockerfile)


def _from_stream(source: "io.BufferedReader[io.FileIO]", shown: str, temporary: str, dockerfile: str | None) -> Context:
    """Return the context that is a tar, unpacked into a folder, or a Dockerfile alone."""
    first = source.peek(tar.BLOCK)
    if not is_compressed_archive(first) and first[257:262] != b"ustar":
        text = _text(source)
        if not text:
            raise InvalidInput(f"failed to read dockerfile: {shown} is empty", "give a Dockerfile or a tar there")
        return Context(Folder(temporary), text, "Dockerfile")
    try:
        extract_archive(Place(None, temporary, "the context"), archive_blocks(source, Limits()), Owner(archive=False))
    except CorruptImage as error:
        raise InvalidInput(f"cannot read the context from {shown}: {error.message}", "give a tar there") from error
    return _in_folder(temporary, dockerfile)


def _ignored(path: str, dockerfile: str | None) -> Ignored:
    """Return what a context leaves out: as NAME.dockerignore beside the Dockerfile says, or else a file in the context."""
    named = [f"{dockerfile}.dockerignore"] if dockerfile is not None else []
    for name in [*named, *(f"{path}/{name}" for name in _IGNORE_FILES)]:
        try:
            with open(name, "rb") as file:
                return read_ignored(_text(file), os.path.basename(name))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"cannot read what the context leaves out: {os_error_text(error)}") from error
    return NOTHING


def _text(file: IO[bytes]) -> str:
    content = file.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise InvalidInput(f"the Dockerfile is larger than {_LIMIT >> 20} MiB", "check what -f names")
    return content.decode(errors="replace")
