"""`--chmod`, against chmod(1) itself."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from rootless.build.modes import parse_mode
from rootless.errors import InvalidInput


@pytest.mark.parametrize("text", [
    "u=rwX,go=rX", "a+x", "+x", "-w", "g-w,o=", "u+s", "g+s,o+t", "755", "4755", "0", "o=u", "g=u-w", "ug=rw,o-r", "a=rX", "u-s",
    "=r",
])  # fmt: skip
def test_changes_are_those_of_chmod(tmp_path: Path, text: str) -> None:
    for number, before in enumerate((0o644, 0o755, 0o4711, 0o600)):
        for make in (os.mkdir, lambda path: Path(path).touch()):
            path = tmp_path / f"{number}{make is os.mkdir}"
            make(path)
            path.chmod(before)
            given = f"{int(text, 8):05o}" if text.isdecimal() else text
            subprocess.run(["chmod", given, path], check=True, umask=0)
            expected = stat.S_IMODE(path.stat().st_mode)
            assert parse_mode(text)(before, make is os.mkdir) == expected, (text, oct(before))


@pytest.mark.parametrize("text", ["9", "x", "u+q", "77777", "u", "u+x,", "17777", "rwx"])
def test_others_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_mode(text)
