"""Other ID maps than the default one: `--userns keep-id`, `--uidmap`, `--gidmap`. All files on disk are the user's."""

import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")
KEEP = ("--userns", "keep-id")
# A file of another's, one with a set-user-ID bit, a FIFO, a symbolic link, a folder that passes its group on.
_MAKE = """
echo a >/a; chown 3:4 /a; echo b >/b; chown 5:6 /b; chmod 4755 /b; mkfifo /pipe; chown 7:8 /pipe
ln -s a /link; chown -h 9:9 /link; mkdir /shared; chown 0:11 /shared; chmod 2775 /shared; touch /shared/c; rm /etc/group
"""
_LIST = "stat -c '%n %u %g %a' /a /b /pipe /link /shared /shared/c"
_EXPECTED = ["/a 3 4 644", "/b 5 6 4755", "/pipe 7 8 644", "/link 9 9 777", "/shared 0 11 2775", "/shared/c 0 11 644"]


def _output(engine: Engine, *arguments: str) -> bytes:
    options = {"env": engine.environment, "cwd": engine.folder, **drop_privileges()}
    return subprocess.run([*COMMAND, *arguments], stdout=subprocess.PIPE, check=True, **options).stdout  # type: ignore[call-overload,no-any-return]


def _members(content: bytes) -> dict[str, tuple[int, int, int]]:
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        return {member.name.strip("/"): (member.uid, member.gid, member.mode) for member in archive}


def _is_all_the_users(folder: Path) -> bool:
    entries = [Path(where) / name for where, folders, files in os.walk(folder) for name in (*folders, *files)]
    return {os.lstat(path).st_uid for path in entries} == {USER.pw_uid}


def test_the_user_inside_is_the_user_outside(engine: Engine) -> None:
    own = engine.folder / "home" / "own"
    own.mkdir()
    shutil.chown(own, USER.pw_uid, USER.pw_gid)
    script = "id -u; id -g; touch /own/made; stat -c '%u:%g' /own /own/made / /bin"
    shown = engine.rl("run", "--rm", *NONE, *KEEP, "-v", f"{own}:/own", "busybox", "sh", "-c", script).stdout.split()
    ids = f"{USER.pw_uid}:{USER.pw_gid}"
    assert shown == [str(USER.pw_uid), str(USER.pw_gid), ids, ids, "0:0", "0:0"]
    assert (own / "made").stat().st_uid == USER.pw_uid
    asked = engine.rl("run", "--rm", "--userns", "keep-id:uid=7,gid=8", "busybox", "sh", "-c", "id -u; id -g; ip -o addr").stdout
    assert asked.startswith("7\n8\n")
    assert "eth0" in asked
    assert engine.rl("run", "--rm", *NONE, *KEEP, "-u", "0:0", "busybox", "id", "-u").stdout == "0\n"


def test_the_user_has_a_name_inside_where_the_image_has_none(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, *KEEP, "busybox", "sleep", "1000")
    for _run in range(2):
        assert engine.rl("exec", "box", "id", "-un").stdout == f"{USER.pw_name}\n"
        assert engine.rl("exec", "-u", USER.pw_name, "box", "id", "-u").stdout == f"{USER.pw_uid}\n"
        assert engine.rl("exec", "box", "sh", "-c", "echo x >>/etc/passwd", check=1).stderr.endswith("Read-only file system\n")
        engine.rl("restart", "-t", "0", "box")
    engine.rl("commit", "box", "made")
    assert USER.pw_name not in engine.rl("run", "--rm", *NONE, "made", "cat", "/etc/passwd").stdout
    # Somebody else's file, and a user who has an entry, are left alone.
    mine = engine.folder / "home" / "passwd"
    mine.write_text("root:x:0:0:root:/:/bin/sh\n")
    bound = engine.rl("run", "--rm", *NONE, *KEEP, "-v", f"{mine}:/etc/passwd", "busybox", "cat", "/etc/passwd")
    assert bound.stdout == mine.read_text()
    script = "cp /etc/passwd /etc/other && mv /etc/other /etc/passwd && id -un"
    assert engine.rl("run", "--rm", *NONE, *KEEP, "-u", "0", "busybox", "sh", "-c", script).stdout == "root\n"


@pytest.mark.parametrize("maps", [KEEP, ("--uidmap", "0:1:500", "--uidmap", "500:0:1")], ids=["keep-id", "given"])
def test_owners_and_modes_are_kept_and_go_into_archives_and_images(engine: Engine, maps: tuple[str, ...]) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, *maps, "-u", "0", "busybox", "sleep", "1000")
    engine.rl("exec", "box", "sh", "-ec", _MAKE)
    assert engine.rl("exec", "box", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED
    upper = engine.data_root / "containers" / engine.record("box")["Id"] / "upper"
    assert _is_all_the_users(upper)
    engine.rl("restart", "-t", "0", "box")
    assert engine.rl("exec", "box", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED
    changes = engine.rl("diff", "box").stdout.splitlines()
    assert {"A /a", "A /b", "A /pipe", "A /link", "A /shared", "D /etc/group", "C /etc"} <= set(changes)
    found = _members(_output(engine, "export", "box"))
    for line in _EXPECTED:
        name, user, group, mode = line.split()
        assert found[name.strip("/")] == (int(user), int(group), int(mode, 8)), name
    assert _members(_output(engine, "cp", "box:/b", "-")) == {"b": (5, 6, 0o4755)}
    engine.rl("commit", "box", "made")
    assert engine.rl("run", "--rm", *NONE, "made", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED
    engine.rl("stop", "-t", "0", "box")
    assert engine.rl("diff", "box").stdout.splitlines() == changes
    assert _members(_output(engine, "export", "box")) == found
    assert _members(_output(engine, "cp", "box:/b", "-")) == {"b": (5, 6, 0o4755)}
    engine.rl("cp", "box:/b", f"{engine.folder}/home/b")
    engine.rl("cp", f"{engine.folder}/home/b", "box:/again")
    assert _is_all_the_users(upper)
    engine.rl("start", "box")
    assert engine.rl("exec", "box", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED


def test_copying_into_a_stopped_container(engine: Engine) -> None:
    engine.rl("create", "--name", "box", *NONE, *KEEP, "-u", "0", "busybox", "stat", "-c", "%n %u %g", "/copied", "/etc/passwd")
    (engine.folder / "home" / "copied").write_text("content\n")
    engine.rl("cp", "home/copied", "box:/copied")
    assert engine.rl("start", "-a", "box").stdout == "/copied 0 0\n/etc/passwd 0 0\n"


def test_plain_rm_removes_all_that_such_a_container_has(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, *KEEP, "-u", "0", "busybox", "sh", "-ec", f"{_MAKE} mkdir /deep; chmod 0 /deep")
    folder = engine.data_root / "containers" / engine.record("box")["Id"]
    subprocess.run(["rm", "-r", str(folder / "upper")], check=True, **drop_privileges())  # type: ignore[call-overload]
    assert not (folder / "upper").exists()


def test_two_with_different_maps_and_one_with_the_default_share_the_image(engine: Engine) -> None:
    for name, options in (("keeps", KEEP), ("given", ("--uidmap", "0:100:1000", "--uidmap", "2000:0")), ("plain", ())):
        engine.rl("run", "-d", "--name", name, *NONE, *options, "busybox", "sleep", "1000")
    for name in ("keeps", "given", "plain"):
        assert engine.rl("exec", "-u", "0", name, "stat", "-c", "%u", "/bin").stdout == "0\n"
    parents = list((engine.runtime_dir / "parent").iterdir())
    assert len(parents) >= 3
    engine.rl("rm", "-f", "plain", "given")
    # The one that is left still leads to the parent namespace.
    assert engine.rl("run", "--rm", "--pid", "container:keeps", *NONE, "busybox", "echo", "joined", check=None).stdout == "joined\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--userns", "nomap"), "out of your user's reach"),
        (("--userns", "auto"), "out of your user's reach"),
        (("--userns", "keep-id:name=x"), "unknown option 'name=x'"),
        (("--uidmap", "0:0"), ""),
        (("--uidmap", "x"), "'x' is not INSIDE:OUTSIDE[:LENGTH]"),
        (("--uidmap", "0:0:10", "--uidmap", "5:100:1"), "overlaps"),
        (("--uidmap", "0:0:10", "--userns", "keep-id"), "does not go together"),
        (("--uidmap", "0:1:10"), "your own ID, outside 0, is not mapped"),
        (("--uidmap", "0:0", "--uidmap", "1:9999999:10"), "the ID 9999999 cannot be mapped"),
        (("--subuidname", "me"), "your own subordinate IDs"),
    ],
)
def test_what_cannot_be_is_said(engine: Engine, options: tuple[str, ...], said: str) -> None:
    result = engine.rl("run", "--rm", *NONE, *options, "busybox", "true", check=125 if said else 0)
    assert said in result.stderr
    assert "hint:" in result.stderr or not said


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_other_drivers_are_refused(engine: Engine, driver: str) -> None:
    result = engine.rl("run", "--rm", *KEEP, "busybox", "true", env={"RL_STORAGE_DRIVER": driver}, check=125)
    assert f"need the storage driver fuse, and {driver} is asked for" in result.stderr
