"""The manual pages that are made from the commands."""

import subprocess
from pathlib import Path

import pytest

from cli import manual
from cli.program import VERBS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("man1")
    manual.write(str(made))
    return made


def test_every_verb_has_a_page(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert {f"rl-{verb}.1" for verb in VERBS} <= names
    assert "rl.1" in names
    assert "rl-image-prune.1" in names


def test_a_page_says_what_the_help_says(folder: Path) -> None:
    page = (folder / "rl-stop.1").read_text().replace("\\-", "-")
    assert "rl-stop - Stop running containers" in page
    assert "\\fB-s, --signal SIGNAL\\fR" in page
    assert "How long to wait before SIGKILL" in page


def test_roff_finds_no_fault(folder: Path) -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", *sorted(map(str, folder.iterdir()))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    shown = subprocess.run(["groff", "-man", "-Tutf8", str(folder / "rl.1")], capture_output=True, text=True, check=True)
    assert "RL_STORAGE_DRIVER" in shown.stdout


def test_what_roff_would_take_for_its_own_is_escaped() -> None:
    assert manual._roff(".\\x-y") == "\\&.\\ex\\-y"
