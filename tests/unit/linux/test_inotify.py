import os
import select

import pytest

from rootless.linux.inotify import IN_CREATE, IN_DELETE, IN_MODIFY, Inotify


def test_changes_of_a_file(tmp_path: object) -> None:
    path = f"{tmp_path}/file"
    with open(path, "w") as file:
        inotify = Inotify()
        watch = inotify.watch(path, IN_MODIFY)
        assert inotify.read() == []
        assert not select.select([inotify], [], [], 0)[0]
        file.write("x")
        file.flush()
        assert select.select([inotify], [], [], 5)[0]
        [event] = inotify.read()
        assert (event.watch, event.mask, event.name) == (watch, IN_MODIFY, b"")
        inotify.close()


def test_changes_in_a_folder(tmp_path: object) -> None:
    inotify = Inotify()
    inotify.watch(str(tmp_path), IN_CREATE | IN_DELETE)
    for name in ("a", "a-longer-name-\udcff"):
        with open(f"{tmp_path}/{name}", "w"):
            pass
        os.unlink(f"{tmp_path}/{name}")
    assert [(event.mask, event.name) for event in inotify.read()] == [
        (IN_CREATE, b"a"),
        (IN_DELETE, b"a"),
        (IN_CREATE, b"a-longer-name-\xff"),
        (IN_DELETE, b"a-longer-name-\xff"),
    ]
    inotify.close()


def test_a_missing_file(tmp_path: object) -> None:
    inotify = Inotify()
    with pytest.raises(FileNotFoundError) as caught:
        inotify.watch(f"{tmp_path}/none", IN_MODIFY)
    assert caught.value.filename == f"{tmp_path}/none"
    inotify.close()
