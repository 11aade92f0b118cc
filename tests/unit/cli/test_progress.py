import io

from cli.progress import _Bars, _Lines
from rootless.images.progress import Phase

DIGEST = "sha256:" + "ab" * 32


def test_without_a_terminal_a_line_a_change_of_phase() -> None:
    stream = io.StringIO()
    lines = _Lines(stream)
    lines.message("latest: Pulling from x")
    for phase, done in (
        *((Phase.WAITING, 0), (Phase.DOWNLOADING, 1), (Phase.DOWNLOADING, 9), (Phase.VERIFYING, 10)),
        *((Phase.DOWNLOADED, 10), (Phase.EXTRACTING, 10), (Phase.COMPLETE, 10)),
    ):
        lines.layer(DIGEST, phase, done, 10)
    words = ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
    assert stream.getvalue().splitlines() == ["latest: Pulling from x", *(f"abababababab: {word}" for word in words)]


def test_on_a_terminal_unpacking_has_bytes_and_a_rate_of_its_own() -> None:
    bars = _Bars(io.StringIO())
    for phase, done in ((Phase.DOWNLOADING, 1), (Phase.DOWNLOADED, 10), (Phase.EXTRACTING, 0)):
        bars.layer(DIGEST, phase, done, 10)
    (task,) = bars._display.tasks
    assert (task.completed, task.fields["phase"], task.finished) == (0, "Extracting", False)
    bars.layer(DIGEST, Phase.COMPLETE, 10, 10)
    assert (task.completed, task.fields["phase"]) == (10, "Pull complete")
