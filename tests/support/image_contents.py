"""What an image in a folder of the transport `dir:` holds: its config, and the files that its layers make together."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple


class File(NamedTuple):
    """One file: kind, mode, owner, group, link target, digest of the data, seconds of its time (0 for folders), xattrs."""

    kind: bytes
    mode: int
    uid: int
    gid: int
    link: str
    data: str
    mtime: int
    xattrs: tuple[tuple[str, str], ...]


def read_image(folder: Path) -> tuple[dict[str, Any], dict[str, File]]:
    """Return the config, and the files by path."""

    def blob(digest: str) -> Path:
        return folder / digest.partition(":")[2]

    manifest = json.loads((folder / "manifest.json").read_text())
    files: dict[str, File] = {}
    for layer in manifest["layers"]:
        _apply(blob(layer["digest"]), files)
    config: dict[str, Any] = json.loads(blob(manifest["config"]["digest"]).read_text())
    return config, files


def _apply(layer: Path, files: dict[str, File]) -> None:
    """Put a layer on top (image-spec layer.md)."""
    added: dict[str, File] = {}
    with tarfile.open(layer) as tar:
        for member in tar:
            path = member.name.removeprefix("./").strip("/")
            folder, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _remove(files, folder, itself=False)
            elif name.startswith(".wh."):
                _remove(files, f"{folder}/{name[4:]}".lstrip("/"), itself=True)
            elif path not in ("", "."):
                added[path] = _file(tar, member, added)
                if not member.isdir():
                    _remove(files, path, itself=True)
    files.update(added)


def _remove(files: dict[str, File], path: str, *, itself: bool) -> None:
    for one in [one for one in files if one.startswith(f"{path}/") or (itself and one == path)]:
        del files[one]


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, added: dict[str, File]) -> File:
    if member.islnk():
        return added[member.linkname.removeprefix("./").strip("/")]
    content = tar.extractfile(member) if member.isreg() else None
    data = hashlib.sha256(content.read()).hexdigest() if content else ""
    names = sorted(key for key in member.pax_headers if key.startswith("SCHILY.xattr."))
    return File(
        member.type,
        member.mode & 0o7777,
        member.uid,
        member.gid,
        member.linkname if member.issym() else "",
        data,
        0 if member.isdir() else int(member.mtime),
        tuple((name, member.pax_headers[name]) for name in names),
    )
