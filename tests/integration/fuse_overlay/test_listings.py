"""Listings that the server keeps: of a directory without an upper, and never longer than they are true."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fuse_overlay.mounted import Mounted, in_parent

pytestmark = pytest.mark.engine

# busybox's find asks for each file's status, which the listing has brought.
_LIST = "find {} -mindepth 1 | sort | xargs stat -c '%n %s %a'"


def _lower(folder: Path) -> list[Path]:
    base = folder / "base"
    for name in ("one", "two", "deep/inner"):
        (base / name).mkdir(parents=True)
    (base / "one/file").write_text("content")
    os.link(base / "one/file", base / "two/linked")
    (base / "deep/inner/file").write_text("content")
    for number in range(300):  # more than one reply holds
        (base / f"deep/{number}").write_text("x" * number)
    return [base]


def _mounted(*scripts: str) -> list[str]:
    def inside(folder: Path) -> Any:
        with Mounted(folder, _lower(folder)) as union:
            return [union.sh(script) for script in scripts]

    found: list[str] = in_parent(inside)
    return found


def test_a_second_listing_is_the_first() -> None:
    first, second, third = _mounted(*[_LIST.format("deep")] * 3)
    assert first == second == third
    assert len(first.splitlines()) == 302


def test_what_is_made_changed_and_removed_shows() -> None:
    listed = _LIST.format("one")
    before, _change, after = _mounted(listed, "echo more >>one/file; chmod 600 one/file; echo new >one/new", listed)
    assert before == "one/file 7 644\n"
    assert after.splitlines() == ["one/file 12 600", "one/new 4 644"]
    before, _change, after = _mounted(_LIST.format("deep/inner"), "rm deep/inner/file", "ls -A deep/inner")
    assert (before, after) == ("deep/inner/file 7 644\n", "")


def test_a_file_that_is_copied_up_by_its_other_name_shows_in_a_directory_that_is_not() -> None:
    listed = _LIST.format("two")
    before, _change, after = _mounted(listed, "echo more >>one/file", listed)
    assert (before, after) == ("two/linked 7 644\n", "two/linked 12 644\n")


def test_a_directory_that_is_replaced_has_its_own_listing() -> None:
    change = "rm -r deep; mkdir deep; echo new >deep/only"
    before, _change, after = _mounted(_LIST.format("deep") + " | wc -l", change, _LIST.format("deep"))
    assert (before.strip(), after) == ("302", "deep/only 4 644\n")
