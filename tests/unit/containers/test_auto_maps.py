"""What `--userns auto` reads of an image, and which IDs it takes."""

from pathlib import Path

import pytest

from rootless.containers.auto_maps import _first_free, _lines, _size_of
from rootless.errors import NodeLacks
from rootless.namespaces.idmap import MapLine


def _layer(folder: Path, **files: str) -> str:
    (folder / "etc").mkdir(parents=True)
    for name, content in files.items():
        (folder / "etc" / name).write_text(content)
    return str(folder)


def test_an_image_needs_ids_for_its_users_and_groups(tmp_path: Path) -> None:
    low = _layer(tmp_path / "low", passwd="a:x:9000:1::/:\n", group="b:x:4000:\n")
    high = _layer(tmp_path / "high", passwd="a:x:2000:3000::/:\nnobody:x:65534:65534::/:\n\nbad\nhuge:x:4294967294:1::/:\n")
    assert _size_of([high, low], "") == 4001  # the passwd file of the upper one hides the lower's
    assert _size_of([high, low], "5000:1") == 5001
    assert _size_of([], "") == 1024
    (Path(high) / "etc" / "group").symlink_to("../../low/etc/passwd")  # out of the layer
    assert _size_of([high], "") == 3001


def test_the_first_ids_that_are_free_are_taken() -> None:
    assert _first_free([], 10, 100) == 1
    assert _first_free([(1, 11), (15, 30)], 4, 100) == 11
    assert _first_free([(1, 11), (15, 30)], 5, 100) == 30
    assert _first_free([(1, 50), (2, 3)], 50, 100) == 50
    with pytest.raises(NodeLacks, match="no 51 subordinate IDs in a row are free"):
        _first_free([(1, 50)], 51, 100)


def test_given_lines_are_kept_and_the_others_put_around() -> None:
    assert list(_lines(10, 100, ())) == ["0:100:10"]
    assert list(_lines(10, 100, (MapLine(5, 7, 2), MapLine(0, 0, 1)))) == ["0:0:1", "1:100:4", "5:7:2", "7:104:3"]
    assert list(_lines(3, 100, (MapLine(8, 7, 2),))) == ["0:100:3", "8:7:2"]
