import os
import time
from pathlib import Path

from rootless.storage import unfinished


def test_what_a_killed_command_left_goes_after_a_minute(tmp_path: Path) -> None:
    young, old = unfinished.make(str(tmp_path)), unfinished.make(str(tmp_path))
    for folder in (young, old):
        os.mkdir(f"{folder}/_data")
        Path(folder, "volume.json").write_text("{}")
    whole = tmp_path / "box"
    whole.mkdir()
    long_ago = time.time() - 61
    for path in (old, whole):
        os.utime(path, (long_ago, long_ago))
    unfinished.discard_old(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted((os.path.basename(young), "box"))


def test_a_folder_that_is_not_there_has_nothing_left(tmp_path: Path) -> None:
    unfinished.discard_old(f"{tmp_path}/nosuch")
    unfinished.discard(f"{tmp_path}/nosuch")
    assert os.listdir(tmp_path) == []
