"""Where in a runtime directory a container's socket is."""

import contextlib
import os


def socket_name(container_id: str) -> str:
    """Return the file name of a container's socket; short, for the path must fit into 108 bytes in tools that know no better."""
    return f"{container_id[:16]}.sock"


def remove_stale_socket(runtime_dir: str, container_id: str) -> None:
    """Remove the socket of a monitor that was killed."""
    with contextlib.suppress(FileNotFoundError):  # it tidied up itself, or the runtime directory is gone
        os.unlink(f"{runtime_dir}/{socket_name(container_id)}")
