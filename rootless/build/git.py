"""Git repositories as contexts and as sources of ADD: `URL[#REF[:FOLDER]]`, got by the program `git`.

As Docker: what is fetched is one commit without its history, and the modules that it has. Nothing of the user's own settings runs
(no hooks, no prompts); how to log in is git's own business (ssh agent, credential helpers).
"""

import os
import re
import subprocess
from typing import Final, NamedTuple

from rootless.errors import InvalidInput, NodeLacks, NoSuchObject, RlError
from rootless.images.removal import remove_tree
from rootless.linux.openat2 import real_path_in_root

_SCP: Final = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9._-]+:(?!//)[^#]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCHEMES: Final = ("git://", "ssh://", "git+https://", "git+http://", "git+ssh://", "git+file://", "file://")


class Source(NamedTuple):
    """A repository, the branch, tag or commit (""): its default one, and the folder in it ("": all of it)."""

    url: str
    ref: str
    folder: str


def is_url(text: str) -> bool:
    """Tell whether a context or a source of ADD is a git repository."""
    url = text.partition("#")[0]
    if _SCP.fullmatch(url) or url.startswith((*_SCHEMES, "github.com/")):
        return not url.startswith("file://") or url.endswith(".git")
    return url.startswith(("http://", "https://")) and url.partition("?")[0].rstrip("/").endswith(".git")


def parse(text: str) -> Source:
    """Return what a URL names. Raises `InvalidInput`."""
    url, _, fragment = text.partition("#")
    ref, _, folder = fragment.partition(":")
    if ref.startswith("-") or url.startswith("-"):
        raise InvalidInput(f"not a git repository: {text:.200}", "a name of a branch, tag or commit follows the #")
    if url.startswith("github.com/"):
        url = f"https://{url}"
    return Source(url.removeprefix("git+"), ref, folder.strip("/"))


def checked_out(text: str, parent: str, *, keeps_git: bool) -> str:
    """Fetch what a URL names into a new folder below `parent`, and return the path of the folder that it means.

    Raises `NoSuchObject` where the repository has no such ref or folder, `NodeLacks` without git.
    """
    source = parse(text)
    path = f"{parent}/git-{len(os.listdir(parent))}"
    os.mkdir(path, 0o755)
    _git(path, "init", "-q")
    _git(path, "remote", "add", "origin", source.url)
    _fetch(path, source)
    _git(path, "checkout", "-q", "--force", "FETCH_HEAD")
    if os.path.exists(f"{path}/.gitmodules"):
        _git(path, "submodule", "update", "-q", "--init", "--recursive", "--depth=1")
    if not keeps_git or source.folder:
        remove_tree(f"{path}/.git")
    return _below(path, source, text) if source.folder else path


def commit_of(text: str) -> str:
    """Return the commit that a URL names at the moment, "" where the repository does not say. Raises as `checked_out`."""
    source = parse(text)
    if _COMMIT.fullmatch(source.ref):
        return source.ref
    found = _git("/", "ls-remote", source.url, source.ref or "HEAD").split()
    return found[0] if found else ""


def _fetch(path: str, source: Source) -> None:
    try:
        _git(path, "fetch", "-q", "--depth=1", "--no-tags", "origin", source.ref or "HEAD")
    except RlError as error:
        if not re.fullmatch(r"[0-9a-f]{7,64}", source.ref):
            text = f"failed to load git source {source.url}: {error.message}"
            raise NoSuchObject(text, "check the URL and what follows the #") from None
        _git(path, "fetch", "-q", "--tags", "origin")  # a server that gives no single commit, or the beginning of one's name
        _git(path, "update-ref", "FETCH_HEAD", source.ref)


def _below(path: str, source: Source, text: str) -> str:
    """Return the path of the folder that is asked for; links of the repository lead to nothing outside of it."""
    try:
        return real_path_in_root(path, source.folder, os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchObject(f"no folder {source.folder} in {text.partition('#')[0]}", "check what follows the :") from None


def _git(folder: str, *arguments: str) -> str:
    settings = ["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", "-c", "advice.detachedHead=false"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            umask=0o022,
        )
    except FileNotFoundError:
        raise NodeLacks("git is not installed, and the context or a source is a git repository", "install git") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise RlError(f"git {arguments[0]}: {said[-1]:.500}")
    return done.stdout.decode(errors="replace")
