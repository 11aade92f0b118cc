"""What a pull or push tells about its progress; the command line shows it, a library's user may ignore it."""

import enum
from typing import Protocol


class Phase(enum.Enum):
    """What happens to one layer, in Docker's words."""

    WAITING = "Waiting"
    DOWNLOADING = "Downloading"
    VERIFYING = "Verifying Checksum"
    DOWNLOADED = "Download complete"
    EXTRACTING = "Extracting"
    COMPLETE = "Pull complete"
    EXISTS = "Already exists"
    PREPARING = "Preparing"
    PUSHING = "Pushing"
    PUSHED = "Pushed"
    MOUNTED = "Mounted"
    PRESENT = "Layer already exists"


class Progress(Protocol):
    """Receives the events of one pull or push, in the caller's thread."""

    def message(self, text: str) -> None:
        """Take a line such as `latest: Pulling from library/alpine`."""

    def warning(self, text: str) -> None:
        """Take a warning."""

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        """Take the state of the layer with this blob digest: `done` of `total` bytes are there, or unpacked."""


class NoProgress:
    """Ignores all events."""

    def message(self, text: str) -> None:
        """Ignore."""

    def warning(self, text: str) -> None:
        """Ignore."""

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        """Ignore."""
