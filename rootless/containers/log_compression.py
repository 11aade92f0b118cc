"""Compressing a log that was rotated, as gzip."""

import gzip
import os
import shutil


def compress(path: str) -> None:
    """Replace a file by path.gz, which has its times; a crash leaves both, or a .tmp that the next compression overwrites."""
    temporary = f"{path}.gz.tmp"
    with open(path, "rb") as source:
        status = os.fstat(source.fileno())
        with open(temporary, "wb") as target, gzip.GzipFile("", "wb", 6, target, status.st_mtime) as packed:
            shutil.copyfileobj(source, packed, 1 << 20)
    os.utime(temporary, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(temporary, f"{path}.gz")
    os.unlink(path)
