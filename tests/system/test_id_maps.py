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
        (("--userns", "nomap:size=1"), "nomap takes no options"),
        (("--userns", "auto:size=0"), "unknown option 'size=0'"),
        (("--userns", "auto:size=100000"), "no 100000 subordinate IDs in a row are free"),
        (("--userns", "ns:/proc/1/ns/user"), "invalid USER mode"),
        (("--userns", "nomap", "--mount", "type=image,src=busybox,dst=/image"), "an image cannot be mounted"),
        (("--userns", "nomap", "-v", "/usr:/usr:O"), "an overlay (the option O) cannot be mounted"),
        (("--userns", "keep-id:name=x"), "unknown option 'name=x'"),
        (("--uidmap", "0:0"), ""),
        (("--uidmap", "x"), "'x' is not INSIDE:OUTSIDE[:LENGTH]"),
        (("--uidmap", "0:0:10", "--uidmap", "5:100:1"), "overlaps"),
        (("--uidmap", "0:0:10", "--userns", "keep-id"), "does not go together"),
        (("--uidmap", "1:1:10"), "the container's root, inside 0, is not mapped"),
        (("--uidmap", "0:0", "--uidmap", "1:9999999:10"), "the ID 9999999 cannot be mapped"),
        (("--subuidname", "me"), "your own subordinate IDs"),
    ],
)
def test_what_cannot_be_is_said(engine: Engine, options: tuple[str, ...], said: str) -> None:
    result = engine.rl("run", "--rm", *NONE, *options, "busybox", "true", check=125 if said else 0)
    assert said in result.stderr
    assert "hint:" in result.stderr or not said


NOT_MAPPED = {
    "nomap": ("--userns", "nomap"),
    "auto": ("--userns", "auto:size=2000"),
    "given": ("--uidmap", "0:1:1000"),
    "group": ("--uidmap", "0:0", "--uidmap", "1:1:100", "--gidmap", "0:1:100"),
}


@pytest.mark.parametrize("maps", NOT_MAPPED.values(), ids=NOT_MAPPED)
def test_the_user_can_be_nobody_inside(engine: Engine, maps: tuple[str, ...]) -> None:
    own = engine.folder / "home" / "own"
    own.mkdir()
    (own / "file").write_text("mine\n")
    for path in (own, own / "file"):
        shutil.chown(path, USER.pw_uid, USER.pw_gid)
        path.chmod(0o755)
    engine.rl("run", "-d", "--name", "box", *maps, "-v", f"{own}:/own", "--hostname", "boxes", "busybox", "sleep", "1000")
    inside = engine.rl("exec", "box", "sh", "-c", "cat /proc/self/uid_map; cat /own/file; hostname; cat /etc/hostname; id -u")
    assert inside.stdout.splitlines()[-4:] == ["mine", "boxes", "boxes", "0"]
    if "0:0" not in maps:
        assert engine.rl("exec", "box", "sh", "-c", "echo x >>/own/file", check=1).stderr.endswith("Permission denied\n")
        assert engine.rl("exec", "box", "stat", "-c", "%u", "/own").stdout == "65534\n"
    engine.rl("exec", "box", "sh", "-ec", _MAKE)
    assert engine.rl("exec", "box", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED
    upper = engine.data_root / "containers" / engine.record("box")["Id"] / "upper"
    assert _is_all_the_users(upper)
    engine.rl("restart", "-t", "0", "box")
    assert engine.rl("exec", "box", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED
    found = _members(_output(engine, "export", "box"))
    assert (found["a"], found["b"]) == ((3, 4, 0o644), (5, 6, 0o4755))
    engine.rl("cp", "box:/b", f"{engine.folder}/home/b")
    engine.rl("stop", "-t", "0", "box")
    engine.rl("cp", f"{engine.folder}/home/b", "box:/again")
    engine.rl("start", "box")
    assert engine.rl("exec", "box", "cat", "/again", "/b").stdout == "b\nb\n"
    engine.rl("commit", "box", "made")
    assert engine.rl("run", "--rm", *NONE, "made", "sh", "-c", _LIST).stdout.splitlines() == _EXPECTED


def test_a_user_who_is_nobody_inside_gives_the_streams_away(engine: Engine) -> None:
    for user in ("0", "7"):
        script = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"
        result = engine.rl("run", "--rm", "-i", *NONE, "--userns", "nomap", "-u", user, "busybox", "sh", "-c", script, stdin="in\n")
        assert (result.stdout, result.stderr) == ("out\nin\n", "err\n")
    assert engine.rl("run", "--rm", "-t", *NONE, "--userns", "nomap", "busybox", "tty").stdout == "/dev/pts/0\n"


def test_what_the_engine_provides_is_there_though_the_user_is_nobody(engine: Engine) -> None:
    engine.rl("secret", "create", "key", "-", stdin="hidden")
    base = ("run", "--rm", *NONE, "--userns", "nomap")
    assert engine.rl(*base, "--secret", "key", "busybox", "cat", "/run/secrets/key").stdout == "hidden"
    # A new volume gets what the image has, and is its root's.
    script = "ls /bin | grep -c sh; echo more >/bin/fresh; stat -c %u:%g /bin /bin/sh"
    first = engine.rl(*base, "-v", "vol:/bin", "busybox", "/bin/sh", "-c", script).stdout.split()
    assert int(first[0]) > 0
    assert first[1:] == ["0:0", "0:0"]
    assert engine.rl(*base, "-v", "vol:/bin", "busybox", "cat", "/bin/fresh").stdout == "more\n"
    assert engine.rl(*base, "-v", "new:/new", "-u", "7", "busybox", "stat", "-c", "%u:%g", "/new").stdout == "0:0\n"
    engine.rl(*base, "-v", "given:/given:U", "-u", "7", "busybox", "touch", "/given/file")
    options = ("--tmpfs", "/tmp", "--device", "/dev/null:/dev/void")
    assert engine.rl(*base, *options, "busybox", "sh", "-c", "touch /tmp/a; ls /dev/void").stdout == "/dev/void\n"
    missing = engine.rl(*base, "--mount", "type=bind,src=/nosuch,dst=/x", "busybox", "true", check=125)
    assert "/nosuch" in missing.stderr


def test_containers_with_maps_of_their_own_have_no_id_in_common(engine: Engine) -> None:
    for name, options in (("aa", "auto"), ("bb", "auto:size=5000"), ("cc", "auto:size=100,uidmapping=0:0:1,gidmapping=0:0:1")):
        command = ("busybox", "cat", "/proc/self/uid_map", "/proc/self/gid_map")
        engine.rl("create", "--name", name, *NONE, "--userns", options, *command)
    engine.rl("rm", "aa")
    engine.rl("create", "--name", "dd", *NONE, "--userns", "auto", "busybox", "true")
    maps = [engine.record(name)["HostConfig"]["IDMappings"]["UidMap"] for name in ("bb", "cc", "dd")]
    assert maps == [["0:1025:5000"], ["0:0:1", "1:6025:99"], ["0:1:1024"]]
    lines = [line.split() for line in engine.rl("start", "-a", "cc").stdout.splitlines()]
    assert [(line[0], line[2]) for line in lines] == [("0", "1"), ("1", "99")] * 2


def test_who_joins_a_container_with_other_maps_has_them(engine: Engine) -> None:
    for maps in (KEEP, NOT_MAPPED["nomap"]):
        engine.rl("run", "-d", "--name", "box", *maps, "-u", "0", "busybox", "sleep", "1000")
        script = "cat /proc/self/uid_map | tr -s ' '; stat -c %u:%g / /bin /etc; id -u; touch /made; stat -c %u /made"
        shown = [
            engine.rl(*command, "sh", "-c", script).stdout
            for command in (("exec", "box"), ("run", "--rm", "--network", "container:box", "-u", "0", "busybox"))
        ]
        assert shown[0] == shown[1]
        engine.rl("rm", "-f", "-t", "0", "box")


@pytest.mark.parametrize("driver", ["overlay", "vfs"])
def test_other_drivers_are_refused(engine: Engine, driver: str) -> None:
    result = engine.rl("run", "--rm", *KEEP, "busybox", "true", env={"RL_STORAGE_DRIVER": driver}, check=125)
    assert f"need the storage driver fuse, and {driver} is asked for" in result.stderr
