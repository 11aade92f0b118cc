"""Volumes and other mounts in containers: what is in them, whose it is, what goes with the container, what inspect shows."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import tars
from tests.support.engine import Engine, check_and_remove, copy_store, make_folder, wait_until

NONE = ("--network", "none")
REFUSED: Final = [
    (["-v", "a:/x", "--mount", "src=b,dst=/x"], "Duplicate mount point: /x"),
    (["--tmpfs", "/x", "-v", "a:/x/"], "Duplicate mount point: /x"),
    (["--mount", "type=bind,src=/no/such,dst=/x"], "bind source path does not exist: /no/such"),
    (["-v", "bad/name:/x"], "includes invalid characters for a local volume name"),
    (["-v", "/etc:/x:U"], "will not give /etc to the container's user"),
    (["--mount", "type=image,src=nosuch,dst=/x"], "No such image: nosuch"),
    (["--mount", "type=volume,src=vol,dst=/x,volume-subpath=none"], "cannot mount 'none' of volume vol: No such file or directory"),
    (["--mount", "type=volume,src=nfs,dst=/x,volume-opt=type=nfs,volume-opt=device=:/x"], "cannot be mounted by a user"),
    (["--shm-size", "big"], "invalid shm-size: 'big'"),
    (["-v", "/etc/hostname:/x:O"], "cannot make an overlay over /etc/hostname"),
]
# Of what a first use copies: type, mode, owner, links, size and path.
TREE = "cd {}; find . -exec stat -c '%F %a %u:%g %h %s %n' {{}} + | sort -k 6"


@pytest.fixture(scope="module")
def archive() -> bytes:
    """The tar of an image with a folder that shall be a volume, with what is hard to copy in it; /data leads there."""
    applets = ("sh", "cat", "find", "stat", "ls", "sort", "touch", "rm", "mkdir", "id", "true")
    entries = [
        tars.folder("bin"),
        tars.file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755),
        *(tars.symlink(f"bin/{name}", "busybox") for name in applets),
        tars.folder("var/store", mode=0o1770, uid=12, gid=34),
        tars.file("var/store/secret", b"content\n", mode=0o640, uid=55, gid=66, pax_headers={"SCHILY.xattr.user.color": "blue"}),
        tars.hard_link("var/store/again", "var/store/secret"),
        tars.symlink("var/store/link", "/elsewhere", uid=7, gid=8),
        (tars.member("var/store/pipe", b"6", mode=0o622), b""),
        tars.folder("var/store/deep", uid=1, mode=0o700),
        tars.file("var/store/deep/set", b"x", mode=0o4755, uid=3, gid=4),
        tars.symlink("data", "var/store"),
        tars.file("file", b"no folder"),
    ]
    return tars.make(entries)


@pytest.fixture
def engine(busybox_store: Path, archive: bytes) -> Iterator[Engine]:
    """An engine that also has the image `kept`, with the volume /data."""
    made = Engine(make_folder())
    copy_store(busybox_store, made.data_root)
    (made.folder / "kept.tar").write_bytes(archive)
    made.rl("import", "--change", "VOLUME /data", str(made.folder / "kept.tar"), "kept")
    yield made
    check_and_remove(made)


@pytest.fixture(params=["overlay", "fuse", "vfs"])
def with_driver(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    engine.environment["RL_STORAGE_DRIVER"] = request.param
    return engine


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("inspect", name).stdout)
    assert isinstance(document, dict)
    return document


def volumes(engine: Engine) -> list[str]:
    return engine.rl("volume", "ls", "-q").stdout.split()


def test_a_first_use_copies_what_the_image_has(with_driver: Engine) -> None:
    engine = with_driver
    expected = engine.rl("run", "--rm", *NONE, "--entrypoint", "sh", "kept", "-c", TREE.format("/var/store")).stdout.splitlines()
    assert any(line.startswith("regular file 640 55:66 2 8") for line in expected), expected
    for target in ("/data", "/var/store"):  # by the image's symbolic link, too
        name = f"vol-{target.strip('/').replace('/', '-')}"
        copied = engine.rl(
            "run", "--rm", *NONE, "-v", f"{name}:{target}", "kept", "sh", "-c", TREE.format(target)
        ).stdout.splitlines()
        assert copied == expected
        data = engine.data_root / "volumes" / name / "_data"
        assert sorted(path.name for path in data.parent.iterdir()) == ["_data", "volume.json"]
        if os.getuid() == 0:
            assert os.getxattr(data / "secret", "user.color") == b"blue"
        assert (data / "secret").lstat().st_ino == (data / "again").lstat().st_ino
    # It is the volume's now: what one removes, the next does not get again.
    engine.rl("run", "--rm", *NONE, "-v", "vol-data:/data", "kept", "rm", "/data/link")
    assert "link" not in engine.rl("run", "--rm", *NONE, "-v", "vol-data:/data", "kept", "ls", "/data").stdout


def test_no_copy_and_full_volumes(engine: Engine) -> None:
    assert engine.rl("run", "--rm", *NONE, "-v", "bare:/data:nocopy", "kept", "ls", "/data").stdout == ""
    assert engine.rl("run", "--rm", *NONE, "--mount", "src=bare,dst=/data,volume-nocopy", "kept", "ls", "/data").stdout == ""
    engine.rl("run", "--rm", *NONE, "-v", "bare:/other", "kept", "touch", "/other/own")
    assert engine.rl("run", "--rm", *NONE, "-v", "bare:/data", "kept", "ls", "/data").stdout == "own\n"
    over = engine.rl("run", "--rm", *NONE, "-v", "other:/file", "kept", "true", check=125)
    assert "cannot mount volume over existing file" in over.stderr


def test_a_container_that_empties_its_volume_finds_it_empty_when_it_starts_again(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "-v", "vol:/data", "kept", "sh", "-c", "ls /data; rm -rf /data/*")
    engine.rl("start", "-a", "box")
    assert engine.rl("logs", "box").stdout.split() == ["again", "deep", "link", "pipe", "secret"]


def test_two_first_users_at_the_same_time(engine: Engine) -> None:
    names = [f"box{number}" for number in range(6)]
    started = [
        engine.start("run", "--name", name, *NONE, "-v", "vol:/data", "kept", "sh", "-c", TREE.format("/data"), stdout=-3)
        for name in names
    ]
    assert [process.wait(60) for process in started] == [0] * len(names)
    shown = {engine.rl("logs", name).stdout for name in names}
    assert len(shown) == 1
    assert "./deep/set" in shown.pop()


def test_an_interrupted_copy_is_gone_on_with(engine: Engine) -> None:
    engine.rl("volume", "create", "vol")
    folder = engine.data_root / "volumes/vol"
    expected = engine.rl("run", "--rm", *NONE, "kept", "sh", "-c", TREE.format("/data")).stdout
    subprocess.run(["cp", "-p", "/etc/hostname", folder / "_data/own"], check=True)
    (folder / "_data/deep").mkdir()
    (folder / "copying").touch()
    (folder / ".unfinished.rl").write_text("half")
    for path in (folder / "_data/own", folder / "_data/deep", folder / "copying", folder / ".unfinished.rl"):
        os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    shown = engine.rl("run", "--rm", *NONE, "-v", "vol:/data", "kept", "sh", "-c", "rm /data/own; " + TREE.format("/data")).stdout
    assert shown == expected
    assert sorted(path.name for path in folder.iterdir()) == ["_data", "volume.json"]


def test_anonymous_volumes_go_with_their_container(engine: Engine) -> None:
    engine.rl("run", "--rm", *NONE, "-v", "/more", "kept", "sh", "-c", "touch /more/x")
    assert volumes(engine) == []
    engine.rl("run", "--name", "box", *NONE, "-v", "/more", "-v", "named:/n", "kept", "true")
    document = inspected(engine, "box")
    assert document["Config"]["Volumes"] == {"/data": {}, "/more": {}}
    assert document["HostConfig"]["Binds"] == ["named:/n"]
    made = {mount["Destination"]: mount["Name"] for mount in document["Mounts"]}
    assert sorted(volumes(engine)) == sorted(made.values())
    refused = engine.rl("volume", "rm", made["/data"], check=1)
    assert f"volume is in use - [{document['Id']}]" in refused.stderr
    assert engine.rl("volume", "ls", "-q", "-f", "dangling=true").stdout == ""
    assert engine.rl("volume", "prune", "-f", "-a").stdout == "Total reclaimed space: 0B\n"
    engine.rl("rm", "-v", "box")
    assert volumes(engine) == ["named"]
    engine.rl("run", "--name", "box", *NONE, "kept", "true")
    engine.rl("rm", "box")
    assert len(volumes(engine)) == 2
    assert len(engine.rl("volume", "ls", "-q", "-f", "dangling=true").stdout.split()) == 2


def test_an_anonymous_volume_stays_while_another_container_has_it(engine: Engine) -> None:
    engine.rl("run", "--name", "first", *NONE, "kept", "sh", "-c", "touch /data/mine")
    inherited = engine.rl("run", "--rm", "--volumes-from", "first", *NONE, "busybox", "ls", "/data").stdout.split()
    assert "mine" in inherited
    assert len(volumes(engine)) == 1
    engine.rl("run", "--name", "second", "--volumes-from", "first:ro", *NONE, "busybox", "touch", "/data/x", check=1)
    assert inspected(engine, "second")["HostConfig"]["VolumesFrom"] == ["first:ro"]
    assert [(mount["Destination"], mount["RW"]) for mount in inspected(engine, "second")["Mounts"]] == [("/data", False)]
    engine.rl("rm", "-v", "first")
    assert len(volumes(engine)) == 1
    engine.rl("rm", "-v", "second")
    assert volumes(engine) == []
    assert "No such container: nosuch" in engine.rl("run", *NONE, "--volumes-from", "nosuch", "kept", "true", check=125).stderr
    assert "invalid volumes-from" in engine.rl("run", *NONE, "--volumes-from", "first:odd", "kept", "true", check=125).stderr


def test_what_failed_leaves_no_anonymous_volume(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "100")
    engine.rl("run", "--name", "box", *NONE, "-v", "/more", "kept", "true", check=125)
    engine.rl("run", "--rm", *NONE, "-v", "/more", "kept", "nosuchcommand", check=127)
    assert volumes(engine) == []


def test_inspect_shows_mounts_as_docker_does(engine: Engine) -> None:
    source = engine.folder / "home/src"
    engine.rl(
        "run", "--name", "box", *NONE, "-v", f"{source}:/bound:ro", "-v", "named:/named",
        "--mount", "type=tmpfs,dst=/memory,tmpfs-size=1m", "--tmpfs", "/scratch:size=64k",
        "--mount", f"type=bind,src={source},dst=/long,bind-propagation=rslave", "--shm-size", "1m", "busybox", "true",
    )  # fmt: skip
    document = inspected(engine, "box")
    by_target = {mount["Destination"]: mount for mount in document["Mounts"]}
    assert by_target == {
        "/bound": {
            "Type": "bind", "Source": str(source), "Destination": "/bound", "Mode": "ro", "RW": False, "Propagation": "rprivate",
        },
        "/named": {
            "Type": "volume", "Name": "named", "Source": f"{engine.data_root}/volumes/named/_data", "Destination": "/named",
            "Driver": "local", "Mode": "", "RW": True, "Propagation": "",
        },
        "/memory": {"Type": "tmpfs", "Source": "", "Destination": "/memory", "Mode": "", "RW": True, "Propagation": ""},
        "/long": {"Type": "bind", "Source": str(source), "Destination": "/long", "Mode": "", "RW": True, "Propagation": "rslave"},
    }  # fmt: skip
    host = document["HostConfig"]
    assert host["Binds"] == [f"{source}:/bound:ro", "named:/named"]
    assert host["Tmpfs"] == {"/scratch": "size=64k"}
    assert [mount["Type"] for mount in host["Mounts"]] == ["tmpfs", "bind"]
    assert host["Mounts"][0]["TmpfsOptions"] == {"SizeBytes": 1 << 20}
    assert host["ShmSize"] == 1 << 20
    assert document["Config"]["Volumes"] is None
    assert engine.rl("ps", "-a", "--format", "{{.LocalVolumes}}", "--filter", "volume=named").stdout == "1\n"
    assert engine.rl("ps", "-aq", "--filter", "volume=other").stdout == ""


def test_what_cannot_be_mounted(engine: Engine) -> None:
    for arguments, text in REFUSED:
        result = engine.rl("run", "--rm", *NONE, *arguments, "busybox", "true", check=125)
        assert text in result.stderr
        assert "\nhint: " in result.stderr
    assert engine.rl("ps", "-aq").stdout == ""


def test_options_of_mounts(engine: Engine) -> None:
    source = engine.folder / "home/made"
    engine.rl(
        "run", "--rm", *NONE, "-v", f"{source}:/x:z", "busybox", "sh", "-c", "echo '#!/bin/sh' > /x/run; chmod 755 /x/run; /x/run"
    )
    assert "ermission denied" in engine.rl("run", "--rm", *NONE, "-v", f"{source}:/x:noexec", "busybox", "/x/run", check=126).stderr
    flags = engine.rl("run", "--rm", *NONE, "-v", f"{source}:/x:ro,nosuid,nodev", "busybox", "grep", " /x ", "/proc/mounts").stdout
    assert {"ro", "nosuid", "nodev"} <= set(flags.split()[3].split(","))
    shm = engine.rl(
        "run",
        "--rm",
        *NONE,
        "--shm-size",
        "1m",
        "--tmpfs",
        "/t:size=2m,mode=711",
        "busybox",
        "sh",
        "-c",
        "df /dev/shm /t; stat -c %a /t",
    )
    sizes = [line.split()[1] for line in shm.stdout.splitlines()[1:3]]
    assert (sizes, shm.stdout.splitlines()[3]) == (["1024", "2048"], "711")
    shm = engine.rl("run", "--rm", *NONE, "busybox", "df", "/dev/shm")  # the next has the default again
    assert shm.stdout.splitlines()[1].split()[1] == "65536"
    pts = engine.rl(
        "run", "--rm", *NONE, "--mount", "type=devpts,dst=/more-pts,max=5", "busybox", "grep", " /more-pts ", "/proc/mounts"
    )
    assert "devpts" in pts.stdout
    assert "max=5" in pts.stdout


def test_the_source_becomes_the_user_s(engine: Engine) -> None:
    source = engine.folder / "home/given"
    engine.rl(
        "run",
        "--rm",
        *NONE,
        "-v",
        f"{source}:/x",
        "-v",
        "vol:/v",
        "busybox",
        "sh",
        "-c",
        "mkdir /x/a; touch /x/a/f; ln -s /etc/passwd /x/l",
    )
    script = "stat -c %u:%g /x /x/a /x/a/f /x/l /v; touch /x/a/new /v/new && echo ok"
    shown = engine.rl(
        "run", "--rm", *NONE, "-u", "1000:50", "-v", f"{source}:/x:U", "-v", "vol:/v:U", "busybox", "sh", "-c", script
    )
    assert shown.stdout.split() == ["1000:50"] * 5 + ["ok"]
    assert engine.rl("run", "--rm", *NONE, "-v", f"{source}:/x", "busybox", "stat", "-c", "%u", "/x/a/f").stdout == "1000\n"
    foreign = engine.rl("run", "--rm", *NONE, "-v", "/etc/ssl:/x:U", "busybox", "true", check=125)
    assert "cannot give /etc/ssl to the container's user" in foreign.stderr


def test_an_overlay_over_a_folder_is_thrown_away(with_driver: Engine) -> None:
    engine = with_driver
    source = engine.folder / "home/lower,with:odd"
    source.mkdir()
    (source / "file").write_text("lower\n")
    for path in (source, source / "file"):
        os.chown(path, engine.data_root.stat().st_uid, engine.data_root.stat().st_gid)
    link = engine.folder / "home/plain"
    link.symlink_to(source)
    script = "cat /x/file; echo upper > /x/file; echo more > /x/more; cat /x/file; ls /x"
    engine.rl("run", "--name", "box", *NONE, "-v", f"{link}:/x:O", "busybox", "sh", "-c", script)
    engine.rl("start", "-a", "box")
    assert engine.rl("logs", "box").stdout.split() == ["lower", "upper", "file", "more"] * 2
    assert sorted(path.name for path in source.iterdir()) == ["file"]
    assert (source / "file").read_text() == "lower\n"
    folder = engine.data_root / "containers" / inspected(engine, "box")["Id"]
    wait_until(lambda: not (folder / "overlays").exists(), what="the overlay is thrown away")


def test_an_overlay_whose_changes_are_kept(engine: Engine) -> None:
    home = engine.folder / "home"
    for name in ("low", "up", "work"):
        (home / name).mkdir()
        os.chown(home / name, engine.data_root.stat().st_uid, engine.data_root.stat().st_gid)
    mount = f"{home}/low:/x:O,upperdir={home}/up,workdir={home}/work"
    engine.rl("run", "--rm", *NONE, "-v", mount, "busybox", "touch", "/x/kept")
    assert engine.rl("run", "--rm", *NONE, "-v", mount, "busybox", "ls", "/x").stdout == "kept\n"
    assert [path.name for path in (home / "up").iterdir()] == ["kept"]
    assert list((home / "low").iterdir()) == []


def test_an_image_is_mounted_and_cannot_be_removed(with_driver: Engine) -> None:
    engine = with_driver
    engine.rl("tag", "kept", "copy")
    mount = "type=image,src=copy,dst=/image"
    engine.rl(
        "run",
        "--name",
        "box",
        *NONE,
        "--mount",
        mount,
        "busybox",
        "sh",
        "-c",
        "cat /image/var/store/secret; touch /image/x",
        check=1,
    )
    assert "Read-only file system" in engine.rl("logs", "box").stderr
    (shown,) = inspected(engine, "box")["Mounts"]
    assert (shown["Type"], shown["Name"], shown["RW"]) == ("image", "copy", False)
    engine.rl("rmi", "kept")
    refused = engine.rl("rmi", "copy", check=1)
    assert "uses image" in refused.stderr
    assert engine.rl("image", "prune", "-af").stdout == "Total reclaimed space: 0B\n"
    engine.rl("start", "-a", "box", check=1)
    assert engine.rl("logs", "box").stdout == "content\n" * 2
    writable = engine.rl(
        "run", "--rm", *NONE, "--mount", f"{mount},rw=true,subpath=var/store", "busybox", "sh", "-c", "echo > /image/new; ls /image"
    )
    assert "new" in writable.stdout.split()
    again = engine.rl("run", "--rm", *NONE, "--mount", f"{mount},image-subpath=data", "busybox", "ls", "/image").stdout.split()
    assert again == ["again", "deep", "link", "pipe", "secret"]
    engine.rl("rm", "box")
    engine.rl("rmi", "copy")


def test_paths_within_volumes_lead_nowhere_else(engine: Engine) -> None:
    script = "mkdir -p /v/a/b; echo inner > /v/a/b/f; ln -s /etc /v/out; ln -s ../../../../etc /v/up; ln -s a /v/in"
    engine.rl("run", "--rm", *NONE, "-v", "vol:/v", "busybox", "sh", "-c", script)
    mount = "type=volume,src=vol,dst=/x,volume-subpath="
    assert engine.rl("run", "--rm", *NONE, "--mount", f"{mount}a/b", "busybox", "cat", "/x/f").stdout == "inner\n"
    assert engine.rl("run", "--rm", *NONE, "--mount", f"{mount}in/b/f", "busybox", "cat", "/x").stdout == "inner\n"
    for name in ("out", "up"):  # both are /etc of the volume, which has none
        assert "No such file" in engine.rl("run", "--rm", *NONE, "--mount", f"{mount}{name}", "busybox", "true", check=125).stderr
    # Swapped all the time, it shows the volume's folder or fails, but never the node's.
    engine.rl(
        "run",
        "-d",
        "--name",
        "swapper",
        *NONE,
        "-v",
        "vol:/v",
        "busybox",
        "sh",
        "-c",
        "cd /v; while :; do mv a c; ln -s /etc a; rm a; mv c a; done",
    )
    for _attempt in range(12):
        result = engine.rl("run", "--rm", *NONE, "--mount", f"{mount}a", "busybox", "ls", "/x", check=None)
        assert result.stdout.split() in (["b"], []), result
        assert result.status in (0, 125), result
    engine.rl("rm", "-f", "swapper")


def test_volumes_with_options(engine: Engine) -> None:
    device = engine.folder / "home/device"
    device.mkdir()
    os.chown(device, engine.data_root.stat().st_uid, engine.data_root.stat().st_gid)
    engine.rl("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={device}", "bound")
    engine.rl("run", "--rm", *NONE, "-v", "bound:/data", "kept", "touch", "/data/new")
    assert {"new", "secret"} <= {path.name for path in device.iterdir()}
    engine.rl("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=5", "memory")
    script = "df /data; stat -c %u /data; cat /data/secret"
    shown = engine.rl("run", "--rm", *NONE, "-v", "memory:/other", "busybox", "sh", "-c", "df /other; stat -c %u /other").stdout
    assert (shown.split()[-6 - 1], shown.split()[-1]) == ("tmpfs", "5"), shown
    assert "content" in engine.rl("run", "--rm", *NONE, "-v", "memory:/data", "kept", "sh", "-c", script.partition(";")[2]).stdout
    engine.rl("run", "-d", "--name", "box", *NONE, "-v", "memory:/m", "busybox", "sleep", "100")
    second = engine.rl("run", "--rm", *NONE, "-v", "memory:/m", "busybox", "true", check=125)
    assert "volume memory is a tmpfs" in second.stderr
    engine.rl("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/no/such", "lost")
    assert "no such file or directory: /no/such" in engine.rl("run", *NONE, "-v", "lost:/x", "busybox", "true", check=125).stderr


def test_volumes_are_made_used_and_removed_at_the_same_time(engine: Engine) -> None:
    commands = [
        *[["run", "--rm", *NONE, "-v", "vol:/data", "kept", "cat", "/data/secret"]] * 5,
        *[["volume", "rm", "vol"]] * 5,
        *[["volume", "prune", "-af"]] * 3,
    ]
    started = [engine.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for command in commands]
    ended = [(process.communicate(timeout=60), process.returncode) for process in started]
    for (out, err), status in ended[:5]:
        assert (out, status) == ("content\n", 0), err
    for (_out, err), status in ended[5:10]:
        assert status == 0 or "is in use" in err or "No such volume" in err, err
    assert all(status == 0 for _streams, status in ended[10:])
    engine.rl("volume", "rm", "-f", "vol")
    assert volumes(engine) == []


def test_export_and_import(engine: Engine) -> None:
    engine.rl("run", "--rm", *NONE, "-v", "first:/data", "kept", "true")
    exported = engine.folder / "home/exported.tar"
    engine.rl("volume", "export", "-o", str(exported), "first")
    engine.rl("volume", "create", "second")
    with subprocess.Popen(["gzip", "-c", exported], stdout=subprocess.PIPE) as packing:
        assert engine.start("volume", "import", "second", "-", stdin=packing.stdout).wait(60) == 0
    shown = [
        engine.rl("run", "--rm", *NONE, "-v", f"{name}:/x", "kept", "sh", "-c", TREE.format("/x")).stdout
        for name in ("first", "second")
    ]
    assert shown[0] == shown[1]
    assert "1770 12:34" in shown[0]
    assert "4755 3:4" in shown[0]
    # What is there and is not in the tar stays; nothing is written outside of the volume.
    engine.rl("run", "--rm", *NONE, "-v", "second:/x:nocopy", "busybox", "sh", "-c", "echo own > /x/own; ln -s /etc /x/out")
    hostile = engine.folder / "home/hostile.tar"
    for entries in ([tars.file("../escaped", b"x")], [tars.file("/etc/escaped", b"x")], [tars.file("out/escaped", b"x")]):
        hostile.write_bytes(tars.make(entries))
        engine.rl("volume", "import", "second", str(hostile), check=None)
    assert list(engine.data_root.rglob("escaped")) == []
    assert not Path("/etc/escaped").exists()
    engine.rl("volume", "import", "second", str(exported))
    assert "own" in engine.rl("run", "--rm", *NONE, "-v", "second:/x", "busybox", "ls", "/x").stdout.split()
    hostile.write_text("no tar")
    assert "cannot import into volume second" in engine.rl("volume", "import", "second", str(hostile), check=1).stderr
    assert "No such volume: third" in engine.rl("volume", "import", "third", str(exported), check=1).stderr
    assert "No such volume: third" in engine.rl("volume", "export", "third", check=1).stderr
    actions = engine.rl(
        "events", "--since", "1h", "--until", "0s", "--filter", "type=volume", "--format", "{{.Action}} {{.Actor.ID}}"
    )
    assert {"create first", "create second"} <= set(actions.stdout.splitlines())


def test_a_copy_into_a_stopped_container_goes_into_its_volumes(engine: Engine) -> None:
    engine.rl("run", "--rm", *NONE, "-v", "vol:/v", "busybox", "mkdir", "/v/sub")
    mounts = ["-v", "fresh:/data", "--mount", "src=vol,dst=/x,volume-subpath=sub", "--mount", "type=image,src=kept,dst=/image"]
    engine.rl("create", "--name", "box", *NONE, *mounts, "kept", "sh", "-c", "cat /data/copied /x/copied; ls /data")
    source = engine.folder / "home/source"
    source.write_text("copied\n")
    for target in ("/data/copied", "/x/copied"):
        engine.rl("cp", str(source), f"box:{target}")
    engine.rl("cp", "box:/image/file", str(engine.folder / "home/from-image"))
    assert (engine.folder / "home/from-image").read_text() == "no folder"
    assert (engine.data_root / "volumes/vol/_data/sub/copied").read_text() == "copied\n"
    shown = engine.rl("start", "-a", "box").stdout.split()
    assert shown == ["copied", "copied", "again", "copied", "deep", "link", "pipe", "secret"]


def test_what_a_killed_monitor_leaves_is_removed(engine: Engine) -> None:
    engine.rl("run", "-d", "--rm", "--name", "box", *NONE, "-v", "/anonymous", "-v", "named:/n", "busybox", "sleep", "100")
    assert len(volumes(engine)) == 2
    os.kill(engine.record("box")["Rl"]["Monitor"][0], signal.SIGKILL)
    wait_until(lambda: engine.rl("ps", "-aq").stdout == "", what="the container is removed")
    assert volumes(engine) == ["named"]
