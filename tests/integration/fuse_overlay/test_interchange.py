"""The forms on disk are the kernel's: an upper written by one driver shows the same tree under the other."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fuse_overlay.mounted import Driver, Mounted, in_parent, tree
from tests.integration.fuse_overlay.test_union import make_lowers

pytestmark = pytest.mark.engine

CHANGES = """
echo more >> dir/from-base; rm dir/both; chmod 600 file; rm link; ln -s nowhere link
mkdir -p new/deep; echo x > new/deep/file; ln new/deep/file new/same; chown 3:4 new
rm -r opaque; mkdir opaque; echo fresh > opaque/fresh
mkdir gone; echo back > gone/other; mv gone dir/arrived
mkdir away; mv away dir/hidden; echo in > dir/hidden/f
rm -r dir/sub; echo now-a-file > dir/sub
mkfifo pipe; mv file-too renamed
"""


def check(first: Driver, second: Driver, prepare: Callable[[Mounted], None] | None = None) -> None:
    """Change a tree under the first driver, and compare what both show."""

    def body(folder: Path) -> Any:
        lowers = make_lowers(folder)
        with Mounted(folder, lowers, first) as union:
            union.sh(CHANGES)
            shown = union.run(tree)
        kernels_own = folder / "work/work"
        if kernels_own.exists():
            kernels_own.chmod(0o700)  # which has mode 0, and P's root is not the kernel
        shutil.rmtree(folder / "work")
        with Mounted(folder, lowers, second) as union:
            return shown, union.run(tree)

    before, after = in_parent(body)
    assert len(before) > 15
    assert before == after


def test_ours_is_read_by_the_kernel() -> None:
    check("fuse", "overlay")


def test_the_kernels_is_read_by_us() -> None:
    check("overlay", "fuse")


def test_ours_is_read_by_us_again() -> None:
    check("fuse", "fuse")


def test_both_come_to_the_same_tree() -> None:
    def body(folder: Path) -> Any:
        shown = []
        drivers: tuple[Driver, Driver] = ("fuse", "overlay")
        for driver in drivers:
            with Mounted(folder / driver, make_lowers(folder / driver), driver) as union:
                union.sh(CHANGES)
                shown.append(union.run(tree))
        return shown

    ours, kernels = in_parent(body)
    # The kernel's copy-up makes two files of one with two names (it needs `index=on` not to), ours does not.
    assert ours.pop("renamed")[0] == ours["file"][0] == "0o100600"
    assert kernels.pop("renamed")[0] == "0o100644"
    assert ours == kernels


def test_whiteouts_in_the_form_of_an_attribute_are_read() -> None:
    def body(folder: Path) -> Any:
        lowers = make_lowers(folder)
        top = lowers[0]
        (top / "dir/from-base").touch()
        (top / "dir/empty").touch()
        os.setxattr(top / "dir/from-base", "user.overlay.whiteout", b"")
        os.setxattr(top / "dir", "user.overlay.opaque", b"x")
        with Mounted(folder, lowers) as union:
            return union.run(lambda: (sorted(os.listdir("dir")), os.path.exists("dir/from-base")))

    assert in_parent(body) == (["both", "empty", "from-top", "sub"], False)
