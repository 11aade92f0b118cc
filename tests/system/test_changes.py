"""What a container changed: diff, and commit to an image, under each storage driver."""

import json
from pathlib import Path

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.engine

CHANGE = """
set -e
mkdir -p /new/inner; echo one > /new/inner/file; ln -s file /new/inner/link; ln /new/inner/file /new/inner/hard
chown 7:8 /new/inner/file; chmod 4755 /new/inner/file; mkfifo /new/pipe
rm /bin/vi; rm -r /usr/sbin; mkdir /usr/sbin; echo only > /usr/sbin/only
chmod 700 /home; touch /tmp/x; rm /tmp/x
"""
# Without folders that hold the changes: which of them there are, depends on the image.
EXPECTED = {
    "A /new", "A /new/inner", "A /new/inner/file", "A /new/inner/hard", "A /new/inner/link", "A /new/pipe",
    "D /bin/vi", "C /usr/sbin", "A /usr/sbin/only", "C /home",
}  # fmt: skip
BASE = "FROM=1; mkdir -p /usr/sbin /home /bin /tmp; rm -f /bin/vi; cp /bin/busybox /bin/vi; touch /usr/sbin/old /usr/sbin/older"


@pytest.fixture
def base(engine_with_driver: Engine) -> Engine:
    """An engine with the image `base`, made by a commit, too."""
    engine = engine_with_driver
    engine.rl("run", "--network", "none", "--name", "first", "busybox", "sh", "-c", BASE)
    engine.rl("commit", "first", "base")
    engine.rl("rm", "first")
    return engine


def changed(engine: Engine) -> None:
    engine.rl("run", "--network", "none", "--name", "box", "base", "sh", "-c", CHANGE)


def test_diff_tells_what_was_added_changed_and_deleted(base: Engine) -> None:
    changed(base)
    lines = base.rl("diff", "box").stdout.splitlines()
    # A copy of everything cannot tell a folder that was replaced from one that was emptied.
    emptied = base.environment["RL_STORAGE_DRIVER"] == "vfs"
    replaced = {line for line in lines if emptied and line.startswith("D /usr/sbin/")}
    assert set(lines) - replaced - {"C /", "C /bin", "C /usr", "C /tmp"} == EXPECTED
    assert lines == sorted(lines, key=lambda line: line[2:].split("/"))
    shown = json.loads(base.rl("diff", "--format", "json", "box").stdout)
    assert set(shown) == {"changed", "added", "deleted"}
    assert "/bin/vi" in shown["deleted"]


def test_an_unchanged_container_has_no_diff(base: Engine) -> None:
    base.rl("run", "--network", "none", "--name", "box", "base", "true")
    assert base.rl("diff", "box").stdout == ""
    assert base.rl("diff", "nonesuch", check=1).stderr.startswith("rl: No such container: nonesuch")


def test_commit_keeps_what_was_changed(base: Engine) -> None:
    changed(base)
    image_id = base.rl("commit", "-m", "words", "-a", "Ann", "-c", "ENV A=1", "-c", 'CMD ["cat", "/x"]', "box", "made:2").stdout
    (document,) = json.loads(base.rl("image", "inspect", "made:2").stdout)
    assert image_id.strip() == document["Id"]
    assert document["Author"] == "Ann"
    assert document["Comment"] == "words"
    assert document["Config"]["Cmd"] == ["cat", "/x"]
    assert "A=1" in document["Config"]["Env"]
    assert len(document["RootFS"]["Layers"]) == 3
    script = "ls -ln /new/inner/file; ls -ld /home; ls -A /usr/sbin; ls /bin/vi; readlink /new/inner/link; test -p /new/pipe"
    seen = base.rl("run", "--rm", "--network", "none", "made:2", "sh", "-c", f"exec 2>&1; {script}; echo $?").stdout
    assert seen.startswith("-rwsr-xr-x    2 7        8")
    assert "drwx------" in seen
    assert seen.splitlines()[2:] == ["only", "ls: /bin/vi: No such file or directory", "file", "0"]
    # The same by another engine's eyes: every digest, reference and unpacked file.
    base.rl("system", "check")


def test_a_running_container_is_committed(base: Engine) -> None:
    base.rl("run", "-d", "--network", "none", "--name", "box", "base", "sh", "-c", "echo data > /file; sync; sleep 1000")
    base.rl("exec", "box", "sh", "-c", "until [ -s /file ]; do :; done")
    base.rl("commit", "box", "made")
    assert base.rl("run", "--rm", "--network", "none", "made", "cat", "/file").stdout == "data\n"
    base.rl("kill", "box")


def test_a_commit_without_a_name_and_one_that_cannot_be(engine: Engine) -> None:
    engine.rl("create", "--name", "box", "busybox", "sh")
    image_id = engine.rl("commit", "box").stdout.strip()
    assert engine.rl("images", "-q", "--no-trunc", "--filter", "dangling=true").stdout.split() == [image_id]
    assert "digest" in engine.rl("commit", "box", f"busybox@{image_id}", check=1).stderr
    assert "FROM" in engine.rl("commit", "-c", "FROM x", "box", check=1).stderr
    assert "invalid" in engine.rl("commit", "box", "UPPER", check=1).stderr.lower()
    engine.rl("rmi", "-f", "busybox", image_id)  # the container keeps what it needs of its image
    engine.rl("commit", "box", "again")
    assert engine.rl("run", "--rm", "--network", "none", "again", "echo", "a").stdout == "a\n"


def test_names_that_mean_whiteouts_are_refused(engine: Engine) -> None:
    engine.rl("run", "--network", "none", "--name", "box", "busybox", "touch", "/.wh.bin")
    assert "/.wh.bin" in engine.rl("commit", "box", check=1).stderr.replace("'.wh", "'/.wh")
    assert engine.rl("images", "-q", "--filter", "dangling=true").stdout == ""


def test_a_deep_tree_is_committed(engine_with_driver: Engine) -> None:
    engine = engine_with_driver
    script = "i=0; while [ $i -lt 900 ]; do mkdir d; cd d; i=$((i + 1)); done; echo deep > file"
    engine.rl("run", "--network", "none", "--name", "box", "busybox", "sh", "-c", script)
    engine.rl("commit", "box", "deep")
    path = "/d" * 900
    assert engine.rl("run", "--rm", "--network", "none", "deep", "cat", f"{path}/file").stdout == "deep\n"
    assert f"A {path}/file" in engine.rl("diff", "box").stdout


def test_an_image_of_a_commit_is_read_by_others(engine: Engine, tmp_path: Path) -> None:
    engine.rl("run", "--network", "none", "--name", "box", "busybox", "sh", "-c", "echo x > /x; rm /bin/busybox")
    engine.rl("commit", "box", "made")
    archive = engine.folder / "home" / "made.tar"
    engine.rl("save", "--format", "oci-archive", "-o", str(archive), "made")
    assert engine.rl("rmi", "made").status == 0
    engine.rl("load", "-i", str(archive))
    assert json.loads(engine.rl("image", "inspect", "made").stdout)[0]["RootFS"]["Layers"]
