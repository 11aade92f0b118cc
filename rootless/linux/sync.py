"""syncfs(2): writing out what a file system still has in memory."""

from rootless.linux import libc


def syncfs(descriptor: int) -> None:
    """Write out all of the file system that `descriptor` lies in. Raises `OSError`."""
    libc.call("syncfs", descriptor)
