"""What every source file keeps to: linters, layering, the cost of imports, where ctypes may be, length, no machine's paths."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
PACKAGES = ("cli", "rootless", "fuse_overlay", "slirp_net")
LONGEST_FILE = 400  # lines
HOT_VERBS = ("run", "exec", "ps", "logs")
SLOW_MODULES = {"trio", "pyroute2", "rich", "httpx", "ssl", "asyncio", "logging", "dataclasses", "pyfuse3"}
# Where a developer's machine keeps clones, environments and private files.
MACHINE_PATH = re.compile(r"(?<![\w}])/(?:work/(?:main|shared)|root/\.|opt/(?:rl-venv|pypi|wheels))\b")


def passes(*command: str) -> None:
    """Run a tool of the environment on the clone; fail with what it says."""
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "NO_COLOR": "1"}
    result = subprocess.run(command, cwd=CLONE, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def tracked_files() -> list[Path]:
    # The clone may belong to another user than the one who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    names = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=True).stdout.split("\0")
    return [CLONE / name for name in names if name and (CLONE / name).is_file()]


def sources() -> Iterable[Path]:
    for package in PACKAGES:
        yield from (CLONE / package).rglob("*.py")


def named(files: Iterable[Path]) -> list[str]:
    return sorted(str(file.relative_to(CLONE)) for file in files)


def test_ruff() -> None:
    passes("ruff", "check", "--no-cache", ".")


def test_mypy_strict(tmp_path: Path) -> None:
    passes(sys.executable, "-I", "-m", "mypy", "--cache-dir", str(tmp_path))


def test_layering() -> None:
    passes("lint-imports", "--no-cache")


@pytest.mark.parametrize("verb", HOT_VERBS)
def test_a_hot_verb_imports_nothing_slow(verb: str) -> None:
    script = f"import sys, cli.program, cli.commands.{verb}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) & SLOW_MODULES == set()


def test_ctypes_is_in_one_place_of_each_package() -> None:
    using = [file for file in sources() if re.search(r"^\s*(?:import|from) ctypes\b", file.read_text(), re.MULTILINE)]
    outside = [file for file in using if file.parent != CLONE / "rootless" / "linux"]
    assert named(file for file in outside if file.relative_to(CLONE).parts[0] in {"cli", "rootless"}) == []
    for package in ("fuse_overlay", "slirp_net"):
        assert len([file for file in outside if file.is_relative_to(CLONE / package)]) <= 1, named(outside)


def test_no_file_is_long() -> None:
    assert named(file for file in sources() if len(file.read_text().splitlines()) > LONGEST_FILE) == []


def test_no_file_names_a_machine_s_paths() -> None:
    def names_one(file: Path) -> bool:
        return file != Path(__file__) and MACHINE_PATH.search(file.read_text(errors="replace")) is not None

    assert named(file for file in tracked_files() if names_one(file)) == []
