"""COPY, ADD and WORKDIR: files from the context, from stages, images and elsewhere."""

import os
import posixpath
from collections.abc import Callable
from typing import Final

from rootless.build import download, git
from rootless.build.copied_files import FetchedPart, FilesPart, Part
from rootless.build.dockerfile.expansion import expand_document
from rootless.build.dockerfile.heredocs import heredoc_of_word
from rootless.build.dockerfile.ignore import Ignored
from rootless.build.reader import Instruction
from rootless.build.selection import Selection
from rootless.build.stage import Folder, Given, Stage
from rootless.build.stage_builder import StageBuilder
from rootless.errors import InvalidInput, RlError


def target_of(builder: StageBuilder, word: str) -> str:
    """Return the destination as an absolute path, which ends with `/` where it can only be a folder."""
    ends = "/" if word.endswith(("/", "/.")) or word in (".", "") else ""
    path = posixpath.normpath(posixpath.join("/", builder.stage.workdir, word))
    return "/" if path in ("/", "//") else path + ends


def given_of(builder: StageBuilder, instruction: Instruction) -> Given:
    """Return the owner and mode that the flags give. Raises `InvalidInput`."""
    scope = builder.scope
    return Given(instruction.expand(instruction.flag("chown"), scope), instruction.expand(instruction.flag("chmod"), scope))


def selection_of(builder: StageBuilder, instruction: Instruction, sources: list[str]) -> Selection:
    """Return what is to be copied."""
    excluded = [instruction.expand(pattern, builder.scope) for pattern in instruction.flags.get("exclude", ())]
    return Selection(tuple(sources), excluded=Ignored(excluded), parents=instruction.is_on("parents"))


def _words_of(builder: StageBuilder, instruction: Instruction) -> tuple[list[str], str]:
    """Return the sources and the destination, with their variables replaced. Raises `InvalidInput`."""
    announced = {document.name for document in instruction.heredocs}
    *sources, target = [
        word if (found := heredoc_of_word(word)) and found.name in announced else instruction.expand(word, builder.scope)
        for word in instruction.arguments
    ]
    if len(sources) > 1 and not target.endswith("/"):
        text = f"when using {instruction.name} with more than one source file, the destination must be a directory and end with a /"
        raise InvalidInput(text)
    return sources, target


def _heredocs(builder: StageBuilder, instruction: Instruction, sources: list[str]) -> tuple[list[Part], list[str]]:
    """Return the here-documents among the sources, as files, and the other sources."""
    documents = list(instruction.heredocs)
    parts: list[Part] = []
    others = []
    for word in sources:
        found = heredoc_of_word(word) if documents else None
        if found is None:
            others.append(word)
            continue
        document = documents.pop(0)
        text = expand_document(document.text, builder.scope.get) if document.expand else document.text
        folder = builder.session.new_folder()
        with open(f"{folder}/{_file_name(document.name)}", "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        parts.append(FilesPart(folder, Selection((_escaped(document.name),))))
    return parts, others


def _file_name(name: str) -> str:
    if "/" in name or name in (".", "..") or "\0" in name:
        raise InvalidInput(f"a here-document cannot be the file {name!r:.100}", "name it without slashes")
    return name


def _escaped(name: str) -> str:
    """Return a pattern that matches one name only."""
    return "".join(f"\\{letter}" if letter in "*?[\\" else letter for letter in name)


def _copy(builder: StageBuilder, instruction: Instruction) -> None:
    sources, target = _words_of(builder, instruction)
    parts, others = _heredocs(builder, instruction, sources)
    if others:
        origin = _origin(builder, instruction.flag("from"))
        parts.append(builder.stage.part(origin, selection_of(builder, instruction, others)))
    builder.stage.copy(parts, target_of(builder, target), given_of(builder, instruction))


def _add(builder: StageBuilder, instruction: Instruction) -> None:
    sources, target = _words_of(builder, instruction)
    parts, others = _heredocs(builder, instruction, sources)
    checksum = instruction.expand(instruction.flag("checksum"), builder.scope)
    remote = [word for word in others if git.is_url(word) or download.is_url(word)]
    if checksum:
        if len(sources) > 1:
            raise InvalidInput("checksum can't be specified for multiple sources", "use one ADD for each")
        if not remote:
            raise InvalidInput("checksum requires HTTP(S) or Git sources", "leave out --checksum")
    if instruction.is_on("keep-git-dir") and not any(map(git.is_url, remote)):
        raise InvalidInput("keep-git-dir requires a Git source", "leave out --keep-git-dir")
    for word in remote:
        make = _git_part if git.is_url(word) else _url_part
        parts.append(make(builder, instruction, word, checksum))
    local = [word for word in others if word not in remote]
    if local:
        unpacks = instruction.flag("unpack") != "false"
        parts.append(builder.stage.part(builder.session.context, selection_of(builder, instruction, local), unpacks=unpacks))
    builder.stage.copy(parts, target_of(builder, target), given_of(builder, instruction))


def _url_part(builder: StageBuilder, instruction: Instruction, url: str, checksum: str) -> Part:
    """Return a file that is downloaded, unless its checksum is known to the cache."""
    if checksum:
        download.check_checksum(checksum)
    unpacks = instruction.is_on("unpack")

    def fetch() -> FilesPart:
        folder = builder.session.new_folder()
        name = download.download(url, folder, checksum)
        return FilesPart(folder, Selection((_escaped(name),)), unpacks=unpacks)

    return FetchedPart(fetch, ["url", url, checksum, unpacks] if checksum else None)


def _git_part(builder: StageBuilder, instruction: Instruction, url: str, checksum: str) -> Part:
    """Return the files of a commit."""
    commit = git.commit_of(url)
    if checksum and not commit.startswith(checksum):
        text = f"digest mismatch for {url}: got {commit}, expected {checksum}"
        raise RlError(text, "it is another commit than that of --checksum")
    keeps_git = instruction.is_on("keep-git-dir")
    excluded = selection_of(builder, instruction, []).excluded

    def fetch() -> FilesPart:
        folder = git.checked_out(url, builder.session.new_folder(), keeps_git=keeps_git)
        return FilesPart(folder, Selection((".",), excluded=excluded))

    key = ["git", git.parse(url).folder, commit, keeps_git, excluded.patterns] if commit else None
    return FetchedPart(fetch, key)


def _origin(builder: StageBuilder, name: str) -> Stage | Folder:
    if not name:
        return builder.session.context
    if "$" in name:
        raise InvalidInput(
            "variable expansion is not supported for --from",
            "define a new stage with FROM using ARG from global scope as a workaround",
        )
    return builder.session.source(name)


def _workdir(builder: StageBuilder, instruction: Instruction) -> None:
    path = instruction.expand(instruction.text, builder.scope)
    builder.stage.settings["WorkingDir"] = os.path.normpath(posixpath.join("/", builder.stage.workdir, path))
    builder.stage.make_folder(builder.stage.settings["WorkingDir"])


STEPS: Final[dict[str, Callable[[StageBuilder, Instruction], None]]] = {"ADD": _add, "COPY": _copy, "WORKDIR": _workdir}
