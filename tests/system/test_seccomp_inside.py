"""Docker's seccomp profile as a container has it, asked from inside about every system call."""

import errno
import platform
import subprocess
from pathlib import Path

import pytest

from rootless.runtime import seccomp
from rootless.runtime.security import DEFAULT_CAPABILITIES
from tests.support.engine import Engine
from tests.support.seccomp_profile import NEVER_FILTERED, Probe, probes

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers are x86-64's"),
]


@pytest.fixture
def prober(engine: Engine) -> Path:
    """The folder with the compiled prober, for a volume."""
    folder = engine.folder / "prober"
    folder.mkdir()
    source = Path(__file__).parent / "seccomp_prober.c"
    subprocess.run(["gcc", "-O1", "-static", "-Wall", "-Werror", "-o", str(folder / "prober"), str(source)], check=True)
    return folder


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_every_system_call(engine: Engine, prober: Path, verb: str) -> None:
    wanted = [
        probe for probe in probes(seccomp.default_profile(), DEFAULT_CAPABILITIES, "x86_64") if probe.number not in NEVER_FILTERED
    ]
    lines = "".join(f"{probe.number} {' '.join(map(str, probe.arguments))}\n" for probe in wanted)
    start = ["run", "-i", "--network", "none", "-v", f"{prober}:/prober:ro"]
    if verb == "run":
        output = engine.rl(*start, "--rm", "busybox", "/prober/prober", stdin=lines).stdout
    else:
        engine.rl(*start, "-d", "--name", "box", "busybox", "sleep", "1000")
        output = engine.rl("exec", "-i", "box", "/prober/prober", stdin=lines).stdout
    answers = [int(line) for line in output.split()]
    assert len(answers) == len(wanted)
    assert [(probe, answer) for probe, answer in zip(wanted, answers, strict=True) if answer != shown(probe)] == []


def shown(probe: Probe) -> int:
    """Return what the prober prints: what the filter lets through has no tracer to go to."""
    return probe.answer or errno.ENOSYS
