"""The passwd and group files of a container with keep-id."""

from pathlib import Path

import pytest

from rootless.containers import accounts

USER = {"uid": 1000, "gid": 100}


def _written(tmp_path: Path, passwd: str | None, group: str | None, name: str = "alice") -> tuple[str, str]:
    root, folder = tmp_path / "root", tmp_path / "folder"
    (root / "etc").mkdir(parents=True)
    folder.mkdir()
    for file, content in (("passwd", passwd), ("group", group)):
        if content is not None:
            (root / "etc" / file).write_text(content)
    for _start in range(2):  # also over the files of an earlier start
        accounts.write(str(folder), str(root), USER, name)
    return (folder / "passwd").read_text(), (folder / "group").read_text()


@pytest.mark.parametrize(
    ("passwd", "group", "expected"),
    [
        (None, None, ("alice:*:1000:100:alice:/:/bin/sh\n", "alice:x:100:\n")),
        ("root:x:0:0::/:", "root:x:0:", ("root:x:0:0::/:\nalice:*:1000:100:alice:/:/bin/sh\n", "root:x:0:\nalice:x:100:\n")),
        ("bob:x:1000:5::/:/bin/sh\n", "users:x:100:\n", ("bob:x:1000:5::/:/bin/sh\n", "users:x:100:\n")),
        ("alice:x:7:7::/:\n", "alice:x:7:\n", ("alice:x:7:7::/:\nuser-1000:*:1000:100:user-1000:/:/bin/sh\n", None)),
    ],
)
def test_an_entry_is_added_where_there_is_none(
    tmp_path: Path, passwd: str | None, group: str | None, expected: tuple[str, str | None]
) -> None:
    written = _written(tmp_path, passwd, group)
    assert written[0] == expected[0]
    assert expected[1] is None or written[1] == expected[1]


def test_a_link_that_leads_out_of_the_image_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "passwd").symlink_to("../../secret")
    (tmp_path / "folder").mkdir()
    accounts.write(str(tmp_path / "folder"), str(tmp_path / "root"), USER, "alice")
    assert (tmp_path / "folder" / "passwd").read_text() == "alice:*:1000:100:alice:/:/bin/sh\n"
