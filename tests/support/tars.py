"""Making tars for tests: by `tarfile`, and by hand where that refuses to write what a hostile image has."""

import io
import tarfile
from collections.abc import Iterable

Entry = tuple[tarfile.TarInfo, bytes]


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = 1_000_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def file(name: str, content: bytes = b"", **fields: object) -> Entry:
    return member(name, size=len(content), **fields), content


def folder(name: str, **fields: object) -> Entry:
    return member(name, tarfile.DIRTYPE, **fields), b""


def symlink(name: str, target: str, **fields: object) -> Entry:
    return member(name, tarfile.SYMTYPE, linkname=target, **fields), b""


def hard_link(name: str, target: str, **fields: object) -> Entry:
    return member(name, tarfile.LNKTYPE, linkname=target, **fields), b""


def make(entries: Iterable[Entry], form: int = tarfile.PAX_FORMAT) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return output.getvalue()


def raw_header(name: bytes, kind: bytes = b"0", size: int = 0, link: bytes = b"") -> bytes:
    """Return a header as it is given, also with names that no tool would write."""
    header = bytearray(512)
    header[0 : len(name)] = name
    header[100:108] = b"0000644\0"
    header[108:116] = header[116:124] = b"0000000\0"
    header[124:136] = b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[157 : 157 + len(link)] = link
    header[257:265] = b"ustar\x0000"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


END = bytes(1024)
