"""Log drivers: where a container's output is kept, chosen by HostConfig.LogConfig."""

from rootless.containers.documents import Document
from rootless.containers.log_file import LogFile
from rootless.containers.streams import Log


def open_log(document: Document) -> Log | None:
    """Open the log of a container for its monitor."""
    return LogFile(document["LogPath"])
