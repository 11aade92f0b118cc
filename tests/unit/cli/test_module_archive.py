"""The archive of compiled modules: what is in it is used, and what is not as it was when it was made is not."""

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import make_module_archive, module_archive
from cli.module_archive import Archive

MODULE = "rl_archived_package"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that is imported, then forgotten: `__init__` with A = 1, `inner` with B = 2."""
    folder = tmp_path / MODULE
    folder.mkdir()
    (folder / "__init__.py").write_text("A = 1\n")
    (folder / "inner.py").write_text("B = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module(f"{MODULE}.inner")
    yield folder
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == MODULE]:
        del sys.modules[name]
    importlib.invalidate_caches()


def make(path: Path) -> None:
    make_module_archive.write(str(path), [sys.modules[MODULE], sys.modules[f"{MODULE}.inner"]])
    forget()


@pytest.fixture
def archive(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """The archive of that package, in use."""
    make(tmp_path / "archive")
    made = module_archive.open_archive(str(tmp_path / "archive"))
    assert made is not None
    monkeypatch.setattr(sys, "meta_path", [made, *sys.meta_path])
    return made


def test_modules_come_from_the_archive(archive: Archive, package: Path) -> None:
    inner = importlib.import_module(f"{MODULE}.inner")
    assert (inner.B, sys.modules[MODULE].A) == (2, 1)
    assert inner.__spec__ is not None
    assert inner.__spec__.loader is archive
    assert inner.__file__ == str(package / "inner.py")
    assert sys.modules[MODULE].__path__ == [str(package)]


def test_a_changed_source_is_read_itself(archive: Archive, package: Path) -> None:
    (package / "inner.py").write_text("B = 3\n")
    os.utime(package / "inner.py", ns=(1, 1))
    inner = importlib.import_module(f"{MODULE}.inner")
    assert inner.B == 3
    assert inner.__spec__ is not None
    assert inner.__spec__.loader is not archive


def test_a_module_that_is_gone_is_gone(archive: Archive, package: Path) -> None:
    (package / "inner.py").unlink()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{MODULE}.inner")


def test_one_of_another_python_is_not_used(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_module_archive, "MAGIC", b"else")
    make(tmp_path / "archive")
    assert module_archive.open_archive(str(tmp_path / "archive")) is None


def test_without_one_nothing_changes(tmp_path: Path) -> None:
    assert module_archive.open_archive(str(tmp_path / "archive")) is None


def test_another_archive_in_its_place_is_not_read(archive: Archive, package: Path, tmp_path: Path) -> None:
    """As after an update beneath a monitor, which imports what it needs when it needs it."""
    importlib.import_module(MODULE)
    (tmp_path / "new").write_bytes(b"\0" * 10_000)
    (tmp_path / "new").rename(tmp_path / "archive")
    assert importlib.import_module(f"{MODULE}.inner").B == 2
    forget()
    (tmp_path / "archive").unlink()
    assert importlib.import_module(f"{MODULE}.inner").B == 2


@pytest.mark.parametrize("content", [b"", b"\1", b"\4" + b"\0" * 7 + b"ab", (1 << 62).to_bytes(8, "little") + b"x"])
def test_a_damaged_one_is_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    assert module_archive.open_archive(str(tmp_path / "archive")) is None
