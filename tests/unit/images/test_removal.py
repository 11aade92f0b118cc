import os
from pathlib import Path

import pytest

from rootless.images.removal import remove_tree


def make_deep(folder: Path, depth: int) -> None:
    """Make nested folders below what any path can name, each with a file."""
    current = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a-folder", dir_fd=current)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=current))
        below = os.open("a-folder", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(current)


def test_deeper_than_paths_descriptors_and_recursion_go(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    make_deep(tree, 3000)
    (tmp_path / "kept").mkdir()
    (tree / "link").symlink_to(tmp_path / "kept")
    remove_tree(str(tree))
    assert os.listdir(tmp_path) == ["kept"]


def test_a_missing_tree_is_no_error_and_a_link_is_refused(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "none"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    with pytest.raises(NotADirectoryError):
        remove_tree(str(tmp_path / "link"))
    assert sorted(os.listdir(tmp_path)) == ["kept", "link"]
