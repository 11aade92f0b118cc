"""A pull's or push's progress for the eye: one line a layer on a terminal, Docker's plain lines elsewhere; none when quiet."""

import contextlib
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, TextIO

from cli.complaints import complain
from cli.tables import printable
from rootless.images.progress import Phase, Progress
from rootless.images.pull import pull
from rootless.images.store import Image
from rootless.locations import Locations

_SHORT: Final = 12
_INTERVAL: Final = 0.05  # seconds between two updates of one layer's bar: bytes arrive far more often


def pull_with_progress(
    locations: Locations,
    name: str,
    *,
    quiet: bool,
    stream: TextIO,
    platform: str | None = None,
    if_missing: bool = False,
) -> Image:
    """Pull an image and show the progress on `stream`; quiet shows warnings only. Raises as `rootless.images.pull.pull`."""
    with shown(stream, quiet=quiet) as progress:
        return pull(locations, name, environ=os.environ, progress=progress, platform=platform, if_missing=if_missing)


@contextlib.contextmanager
def shown(stream: TextIO, *, quiet: bool) -> Iterator[Progress]:
    """Yield what shows the progress on `stream`."""
    if quiet:
        yield _Quiet()
    elif stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with _Bars(stream) as bars:
            yield bars
    else:
        yield _Lines(stream)


class _Quiet:
    """Shows warnings only."""

    def message(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        complain(text, kind="warning")

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        pass


class _Lines(_Quiet):
    """Shows one line a change of phase, as Docker does without a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._phases: dict[str, Phase] = {}

    def message(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:  # noqa: ARG002 - the protocol's signature
        if self._phases.get(digest) == phase:
            return
        self._phases[digest] = phase
        if phase not in {Phase.DOWNLOADING, Phase.EXTRACTING, Phase.PUSHING}:
            words = "Pulling fs layer" if phase is Phase.WAITING else phase.value
            self.message(f"{_short(digest)}: {words}")


class _Bars(_Quiet):
    """Shows a line a layer with its phase, bytes, rate and time left."""

    def __init__(self, stream: TextIO) -> None:
        # Only for a pull on a terminal: 60 ms.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Display

        self._display: Any = Display(
            TextColumn("{task.fields[short]}:"),
            TextColumn("{task.fields[phase]:<18}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(file=stream),
        )
        self._tasks: dict[str, Any] = {}
        self._last: dict[str, tuple[Phase, float]] = {}

    def __enter__(self) -> "_Bars":
        self._display.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._display.stop()

    def message(self, text: str) -> None:
        self._display.console.print(printable(text), markup=False, highlight=False)

    def warning(self, text: str) -> None:
        self.message(f"rl: warning: {text}")

    def layer(self, digest: str, phase: Phase, done: int, total: int) -> None:
        now = time.monotonic()
        known, since = self._last.get(digest, (None, 0.0))
        if known == phase and now - since < _INTERVAL and done < total:
            return
        self._last[digest] = (phase, now)
        if digest not in self._tasks:
            self._tasks[digest] = self._display.add_task("", total=total, short=_short(digest), phase=phase.value)
        elif phase is Phase.EXTRACTING and known is not phase:
            self._display.reset(self._tasks[digest], total=total)  # with a rate of its own
        self._display.update(self._tasks[digest], completed=done, phase=phase.value)


def _short(digest: str) -> str:
    return digest.partition(":")[2][:_SHORT]
