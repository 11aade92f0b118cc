"""The terminal that other tests type into."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import make_folder, wait_until
from tests.support.terminal import Terminal


@pytest.fixture
def folder() -> Iterator[Path]:
    made = make_folder()
    yield made
    shutil.rmtree(made)


def test_keys_go_in_and_the_screen_comes_out(folder: Path) -> None:
    with Terminal(folder, ["sh"], {"PS1": "ready> "}) as terminal:
        terminal.wait_for("ready>")
        terminal.enter("echo a$((1 + 1))b; -- ';'")
        terminal.wait_for("a2b")
        terminal.enter("exit 7")
        assert terminal.wait_for_end() == 7


def test_a_new_size_is_seen(folder: Path) -> None:
    with Terminal(folder, ["sh"], columns=91, rows=21) as terminal:
        terminal.enter("stty size")
        terminal.wait_for("21 91")
        terminal.resize(70, 18)
        terminal.enter("stty size")
        terminal.wait_for("18 70")


def test_settings_show_what_a_program_changed(folder: Path) -> None:
    with Terminal(folder, ["sh", "-c", "stty raw; echo changed; sleep 60"]) as terminal:
        terminal.wait_for("changed")
        changed = terminal.settings()
    with Terminal(folder, ["sh", "-c", "echo unchanged; sleep 60"]) as terminal:
        terminal.wait_for("unchanged")
        assert terminal.settings() != changed


def test_a_closed_window_hangs_up(folder: Path) -> None:
    said = folder / "home" / "said"
    script = f"trap 'echo hung up > {said}; exit' HUP; echo set; while :; do sleep 0.1; done"
    with Terminal(folder, ["sh", "-c", script]) as terminal:
        terminal.wait_for("set")
        terminal.close()
        wait_until(lambda: said.exists() and said.read_text() == "hung up\n", what="the program hung up")
