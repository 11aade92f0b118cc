"""`rl cp`: both ways, running and stopped, under each storage driver; Docker's rules of where things go; hostile containers."""

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engine import Engine, children_of, wait_until
from tests.support.test_user import USER, drop_privileges

pytestmark = pytest.mark.engine

PREPARE = """
mkdir -p /src/dir/inner /dst; echo one > /src/dir/file; echo two > /src/dir/inner/two; ln /src/dir/file /src/dir/hard
ln -s file /src/dir/link; chown 7:8 /src/dir/file; chmod 640 /src/dir/file; touch -d '2001-02-03 04:05:06' /src/dir/file
ln -s /src/dir /todir; ln -s /src/dir/file /tofile; ln -s /nowhere /dangling; echo old > /dst/old; mkfifo /src/dir/pipe
"""


def home(engine: Engine, *parts: str) -> Path:
    return engine.folder.joinpath("home", *parts)


def write(engine: Engine, name: str, content: str, mode: int = 0o644) -> Path:
    made = path = home(engine, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    while path != home(engine):
        os.chown(path, USER.pw_uid, USER.pw_gid)
        path = path.parent
    return made


@pytest.fixture(params=["running", "stopped"])
def box(request: pytest.FixtureRequest, engine_with_driver: Engine) -> Engine:
    """An engine with the container `box`, prepared, running or not."""
    engine = engine_with_driver
    command = f"{PREPARE} {'exec sleep 1000' if request.param == 'running' else ''}"
    detach = ["-d"] if request.param == "running" else []
    engine.rl("run", *detach, "--network", "none", "--name", "box", "busybox", "sh", "-c", command)
    if detach:
        engine.rl("exec", "box", "sh", "-c", "until [ -p /src/dir/pipe ]; do :; done")
    return engine


@pytest.fixture
def look(box: Engine) -> Callable[[str], str]:
    """Return what a script prints in the container, which runs, or is started again for it."""

    def run(script: str) -> str:
        if box.state("box")["Running"]:
            return box.rl("exec", "box", "sh", "-c", f"exec 2>&1; {script}").stdout
        box.rl("commit", "box", "seen")
        return box.rl("run", "--rm", "--network", "none", "seen", "sh", "-c", f"exec 2>&1; {script}").stdout

    return run


def test_out_and_in_again(box: Engine, look: Callable[[str], str]) -> None:
    box.rl("cp", "box:/src/dir", str(home(box, "copy")))
    copy = home(box, "copy")
    assert sorted(path.name for path in copy.iterdir()) == ["file", "hard", "inner", "link", "pipe"]
    status = (copy / "file").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode), int(status.st_mtime)) == (USER.pw_uid, 0o640, 981173106)
    assert status.st_ino == (copy / "hard").stat().st_ino
    assert os.readlink(copy / "link") == "file"
    assert (copy / "inner" / "two").read_text() == "two\n"
    assert stat.S_ISFIFO((copy / "pipe").stat().st_mode)

    box.rl("cp", str(copy), "box:/dst")
    script = "ls -ln file | cut -c1-30; cat hard inner/two; readlink link; ls /dst; stat -c %Y file; stat -c %h hard"
    seen = look(f"cd /dst/copy; {script}")
    assert seen.split("\n") == ["-rw-r-----    2 0        0    ", "one", "two", "file", "copy", "old", "981173106", "2", ""]


def test_an_archive_copy_keeps_owners(box: Engine, look: Callable[[str], str]) -> None:
    kept = box.rl("cp", "-a", "box:/src/dir/file", str(home(box, "file")))
    assert kept.stderr == ""
    file = write(box, "mine", "mine", 0o600)
    box.rl("cp", "--archive", str(file), "box:/dst/mine")
    uid = USER.pw_uid if USER.pw_uid < 65536 else None
    assert look("stat -c '%u %a' /dst/mine").split() == ([str(uid), "600"] if uid else ["0", "600"])


def test_a_tar_on_standard_output_and_input(box: Engine, look: Callable[[str], str]) -> None:
    with box.start("cp", "box:/src/dir", "-", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        content = process.stdout.buffer.read()
    assert process.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {member.name: member for member in archive}
        assert set(members) == {"dir", "dir/file", "dir/hard", "dir/inner", "dir/inner/two", "dir/link", "dir/pipe"}
        assert (members["dir/file"].uid, members["dir/file"].gid, members["dir/file"].mode) == (7, 8, 0o640)
        assert members["dir/hard"].islnk()
    with box.start("cp", "-a", "-", "box:/dst", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.buffer.write(content)
    assert process.returncode == 0
    assert look("stat -c '%u:%g %a' /dst/dir/file; cat /dst/dir/hard").split() == ["7:8", "640", "one"]


RULES = [
    # source, target, the file that then is there, what it holds
    ("box:/src/dir/file", "new", "new", "one\n"),
    ("box:/src/dir/file", "there", "there", "one\n"),
    ("box:/src/dir/file", "folder", "folder/file", "one\n"),
    ("box:/src/dir/file", "folder/", "folder/file", "one\n"),
    ("box:/src/dir", "new", "new/file", "one\n"),
    ("box:/src/dir/", "folder", "folder/dir/file", "one\n"),
    ("box:/src/dir/.", "folder", "folder/file", "one\n"),
    ("box:src/dir", "folder", "folder/dir/file", "one\n"),
    ("box:/todir/", "folder", "folder/todir/file", "one\n"),
    ("box:/todir/file", "new", "new", "one\n"),
    ("-L box:/tofile", "new", "new", "one\n"),
    ("-L box:/todir", "new", "new/file", "one\n"),
]


def test_where_copies_go(engine: Engine) -> None:
    engine.rl("run", "-d", "--network", "none", "--name", "box", "busybox", "sh", "-c", f"{PREPARE} exec sleep 1000")
    engine.rl("exec", "box", "sh", "-c", "until [ -p /src/dir/pipe ]; do :; done")
    for number, (source, target, file, content) in enumerate(RULES):
        write(engine, f"{number}/there", "before")
        write(engine, f"{number}/folder/x", "x")
        engine.rl("cp", *source.split(), str(home(engine, str(number))) + f"/{target}")
        assert home(engine, str(number), file).read_text() == content, source
    engine.rl("cp", "box:/tofile", str(home(engine, "a-link")))
    assert os.readlink(home(engine, "a-link")) == "/src/dir/file"


REFUSED = [
    (("box:/nonesuch", "{home}/x"), 1, "Could not find the file box:/nonesuch"),
    (("{home}/nonesuch", "box:/"), 1, "Could not find the file"),
    (("box:/src/dir/file/", "{home}/x"), 1, "is not a folder"),
    (("box:/src/dir", "{home}/there"), 1, "cannot copy a folder to a file"),
    (("box:/src/dir/file", "{home}/none/x"), 1, "no such folder"),
    (("box:/src/dir/file", "{home}/none/"), 1, "no such folder"),
    (("{home}/there", "box:/src/dir/file/x"), 1, "is not a folder"),
    (("{home}/there", "box:/none/x"), 1, "no such folder"),
    (("{home}/there", "box:/dangling/"), 1, "no such folder"),
    (("{home}/there", "{home}/other"), 1, "must be a path in a container"),
    (("-", "-"), 1, "must be a path in a container"),
    (("nobox:/x", "{home}/x"), 1, "No such container: nobox"),
    (("box:", "{home}/x"), 1, "malformed path"),
    (("box:/src/dir", "/proc/none"), 1, ""),
]


def test_what_cannot_be_copied_is_refused(engine: Engine) -> None:
    engine.rl("run", "--network", "none", "--name", "box", "busybox", "sh", "-c", PREPARE)
    write(engine, "there", "before")
    for arguments, status, said in REFUSED:
        places = [one.replace("{home}", str(home(engine))) for one in arguments]
        result = engine.rl("cp", *places, check=None)
        assert (result.status, said in result.stderr) == (status, True), (arguments, result)
    assert home(engine, "there").read_text() == "before"
    assert sorted(path.name for path in home(engine).iterdir()) == ["there"]


def test_a_damaged_tar_is_refused(engine: Engine) -> None:
    engine.rl("create", "--name", "box", "busybox")
    assert engine.rl("cp", "-", "box:/tmp", stdin="x" * 1024, check=None).status != 0
    assert "rl: " in engine.rl("cp", "-", "box:/tmp", stdin="x" * 1024, check=None).stderr


def test_between_two_containers(engine: Engine) -> None:
    engine.rl("run", "--network", "none", "--name", "one", "busybox", "sh", "-c", PREPARE)
    engine.rl("run", "-d", "--network", "none", "--name", "two", "busybox", "sleep", "1000")
    engine.rl("cp", "-a", "one:/src/dir", "two:/copy")
    assert engine.rl("exec", "two", "sh", "-c", "stat -c %u:%g /copy/file; cat /copy/inner/two").stdout == "7:8\ntwo\n"


def test_what_is_mounted_is_seen_and_written_in_place(engine: Engine) -> None:
    write(engine, "bound/file", "bound")
    bind = f"{home(engine, 'bound')}:/bound"
    for name, detach, command in (("runs", ["-d"], ["sleep", "1000"]), ("stopped", [], ["true"])):
        engine.rl("run", *detach, "--network", "none", "--name", name, "-v", bind, "busybox", *command)
        engine.rl("cp", f"{name}:/bound/file", str(home(engine, name)))
        assert home(engine, name).read_text() == "bound"
        engine.rl("cp", str(home(engine, name)), f"{name}:/bound/{name}")
        assert home(engine, "bound", name).read_text() == "bound"
    hosts = write(engine, "hosts", "127.0.0.1 changed\n")
    engine.rl("cp", str(hosts), "runs:/etc/hosts")
    assert engine.rl("exec", "runs", "cat", "/etc/hosts").stdout == "127.0.0.1 changed\n"


def test_a_large_file_arrives_whole(engine: Engine) -> None:
    big = home(engine, "big")
    with big.open("wb") as file:
        subprocess.run(["head", "-c", "64M", "/dev/urandom"], stdout=file, check=True)
    big.chmod(0o644)
    engine.rl("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "1000")
    engine.rl("cp", str(big), "box:/big")
    engine.rl("cp", "box:/big", str(home(engine, "back")))
    assert subprocess.run(["cmp", str(big), str(home(engine, "back"))], check=False).returncode == 0


HOSTILE = {
    "a link to the node's root": ("ln -s ../../../../../../../.. /evil", "box:/evil/var/tmp", "x"),
    "a link of the target": ("mkdir /d; ln -s /proc/1/root /d/evil", "box:/d/evil/etc/passwd", "x"),
    "a magic link": ("ln -s /proc/self/fd/0 /evil", "-L box:/evil", "x"),
    "a link to the worker's root": ("ln -s /proc/self/root/etc/passwd /evil", "-L box:/evil", "x"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_link_leads_out_of_the_container(engine: Engine, what: str) -> None:
    script, source, target = HOSTILE[what]
    marker = write(engine, "secret", "of the node")
    script = f"{script}; echo 'of the container' > /etc/passwd; mkdir -p /var/tmp; exec sleep 1000"
    engine.rl("run", "-d", "--network", "none", "--name", "box", "busybox", "sh", "-c", script)
    engine.rl("exec", "box", "sh", "-c", "until [ -d /var/tmp ]; do :; done")
    engine.rl("cp", *source.split(), str(home(engine, target)), check=None)
    found = subprocess.run(
        ["grep", "-rls", "root:x:0", str(home(engine))], capture_output=True, text=True, check=False, **drop_privileges()
    )
    assert found.stdout == ""
    engine.rl("cp", str(marker), "box:/evil", check=None)
    assert not any(path.name == "secret" for path in Path("/var/tmp").iterdir())


def test_a_folder_swapped_for_a_link_during_the_copy(engine: Engine) -> None:
    """CVE-2018-15664: the target's folder becomes a link to the root while the copy goes on."""
    script = "mkdir /a /safe; while :; do mv /a /b; ln -s /../../../../.. /a; rm /a; mv /b /a; done"
    engine.rl("run", "-d", "--network", "none", "--name", "box", "busybox", "sh", "-c", script)
    write(engine, "swapped-for-a-link", "x")
    for _ in range(15):
        engine.rl("cp", str(home(engine, "swapped-for-a-link")), "box:/a", check=None)
    assert not Path("/swapped-for-a-link").exists()
    assert not (engine.folder / "swapped-for-a-link").exists()
    engine.rl("kill", "box")


@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_a_copy_whose_command_is_killed_lets_go_of_a_stopped_container(engine: Engine, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    engine.rl("create", "--name", "box", "--network", "none", "busybox", "true")
    children = 2 if driver == "fuse" else 1  # the root's server, and who mounts that: it may not have done so yet
    for _time in range(5):
        command = engine.start("cp", "/etc/passwd", "box:/tmp", stderr=subprocess.DEVNULL)
        while command.poll() is None and len(children_of(command.pid)) < children:
            pass  # a matter of milliseconds
        command.kill()
        command.wait()
        wait_until(lambda: not engine.processes(), what="the copy has ended")
    engine.rl("start", "-a", "box")
