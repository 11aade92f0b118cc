"""The container's root under each storage driver: the same operations, the same answers, the same files afterwards."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Engine

NONE = ("--network", "none")

# Each line prints what it found; the drivers must agree with the list below.
OPERATIONS = r"""
set -e
echo "lower: $(cat /etc/motd-of-test)"
echo changed >> /etc/motd-of-test; echo "copy-up: $(tail -n 1 /etc/motd-of-test)"
rm /usr/share/data/one; echo "whiteout: $(ls /usr/share/data | tr '\n' ' ')"
echo new > /usr/share/data/one; echo "again: $(cat /usr/share/data/one)"
rm -r /usr/share/data; mkdir /usr/share/data; touch /usr/share/data/fresh; echo "opaque: $(ls /usr/share/data)"
mv /etc/motd-of-test /etc/moved; test ! -e /etc/motd-of-test; echo "renamed: $(wc -l < /etc/moved | tr -d ' ')"
mkdir /a; echo x > /a/f; mv /a /b; echo "folder: $(cat /b/f)"
ln /b/f /b/g; echo "links: $(stat -c %h /b/g)"; test $(stat -c %i /b/f) = $(stat -c %i /b/g)
ln -s ../b/f /etc/sym; echo "symlink: $(readlink /etc/sym) $(cat /etc/sym)"
chmod 4711 /b/f; chown 12:34 /b/g; echo "owner: $(stat -c '%a %u %g' /b/f)"
mkfifo /b/fifo; echo "fifo: $(stat -c %F /b/fifo)"
touch -d '2001-02-03 04:05:06' /b/f; echo "time: $(stat -c %Y /b/f)"
exec 5< /b/f; rm /b/f; echo "open: $(cat <&5)"; exec 5<&-
dd if=/dev/zero of=/b/big bs=1M count=20 2>/dev/null; truncate -s 5M /b/big; echo "size: $(stat -c %s /b/big)"
chmod 700 /var/lower-folder; echo "folder mode: $(stat -c %a /var/lower-folder)"
sync
"""
EXPECTED = [
    "lower: from the image",
    "copy-up: changed",
    "whiteout: three two ",
    "again: new",
    "opaque: fresh",
    "renamed: 2",
    "folder: x",
    "links: 2",
    "symlink: ../b/f x",
    "owner: 711 12 34",  # chown clears set-ID
    "fifo: fifo",
    "time: 981173106",
    "open: x",
    "size: 5242880",
    "folder mode: 700",
]
# What is there afterwards: type, mode, owner, size and path of everything that was changed.
TREE = "cd /; find b etc/moved etc/sym usr/share/data var/lower-folder -exec stat -c '%F %a %u %g %n' {} + | sort"


@pytest.fixture
def stored(engine_with_driver: Engine) -> Engine:
    """An engine with an image of two layers' worth of files, called `files`."""
    engine = engine_with_driver
    root = engine.folder / "root"
    for folder in ("bin", "etc", "usr/share/data", "var/lower-folder"):
        (root / folder).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    listed = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout
    for applet in listed.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/motd-of-test").write_text("from the image\n")
    for name in ("one", "two", "three"):
        (root / "usr/share/data" / name).write_text(name)
    (root / "var/lower-folder/file").write_text("deep")
    tar = engine.folder / "root.tar"
    subprocess.run(["tar", "--owner=0", "--group=0", "-cf", tar, "-C", root, "."], check=True)
    tar.chmod(0o644)
    engine.rl("import", str(tar), "files")
    return engine


def test_operations(stored: Engine) -> None:
    stored.rl("run", "--name", "box", *NONE, "files", "sh", "-c", OPERATIONS, check=None)
    assert stored.rl("logs", "box").stdout.splitlines() == EXPECTED, stored.rl("logs", "box").stderr


def test_changes_are_kept_and_the_image_is_not_touched(stored: Engine) -> None:
    stored.rl("run", "--name", "box", *NONE, "files", "sh", "-c", f"{OPERATIONS} {TREE} > /before; cat /before")
    before = stored.rl("logs", "box").stdout.splitlines()[len(EXPECTED) :]
    assert len(before) > 8
    image = stored.rl("run", "--rm", *NONE, "files", "sh", "-c", "cat /etc/motd-of-test; ls /usr/share/data").stdout.split()
    assert image == ["from", "the", "image", "one", "three", "two"]


def test_an_upper_written_by_one_driver_is_read_by_the_other(engine: Engine) -> None:
    shown = {}
    for first, second in (("overlay", "fuse"), ("fuse", "overlay")):
        engine.environment["RL_STORAGE_DRIVER"] = first
        name = f"box-{first}"
        change = "rm /bin/wget; rm -r /etc; mkdir /etc; echo new > /etc/only; cp /bin/vi /bin/own; chown 5:6 /bin/own; rm /bin/vi"
        script = f"[ -e /etc/only ] || {{ {change}; }}; ls -ln / /etc /bin"
        engine.rl("run", "-d", "--name", name, *NONE, "busybox", "sh", "-c", script)
        engine.rl("wait", name)
        path = engine.data_root / "containers" / engine.record(name)["Id"] / "container.json"
        path.write_text(path.read_text().replace(f'"Driver": "{first}"', f'"Driver": "{second}"'))
        engine.rl("start", "-a", name)
        output = engine.rl("logs", name).stdout.splitlines()
        half = len(output) // 2
        assert [_stable(line) for line in output[:half]] == [_stable(line) for line in output[half:]]
        shown[first] = [_stable(line) for line in output[:half]]
    assert shown["overlay"] == shown["fuse"]


def _stable(line: str) -> str:
    """Leave out counts of links, which the kernel's overlay breaks at copy-up, and sizes and times of folders.

    And the times of what each start writes anew.
    """
    fields = line.split()
    if len(fields) < 9:
        return line if not line.startswith("total") else "total"
    if fields[8] in {"hostname", "hosts", "resolv.conf"}:
        return " ".join([fields[0], *fields[2:5], fields[8]])
    return " ".join([fields[0], *fields[2:4], *(fields[4:] if fields[0][0] != "d" else fields[8:])])


def test_files_of_subordinate_ids_are_removed_with_the_container(stored: Engine) -> None:
    script = "mkdir -p /deep/er; touch /deep/er/file; chown -R 1234:1234 /deep; chmod 700 /deep"
    stored.rl("run", "--name", "box", *NONE, "files", "sh", "-c", script)
    stored.rl("rm", "box")
    assert os.listdir(stored.data_root / "containers") == []


def test_many_processes_write_at_the_same_time(stored: Engine) -> None:
    one = "for i in $(seq 50); do echo $n-$i > /tmp-$n-$i; cat /usr/share/data/two >> /tmp-$n-$i; done"
    script = f"for n in 1 2 3 4 5 6 7 8; do ({one}) & done; wait; ls / | grep -c '^tmp-'; cat /tmp-* | wc -c"
    first, second = stored.rl("run", "--rm", *NONE, "files", "sh", "-c", script, timeout=120).stdout.split()
    assert first == "400"
    assert int(second) == sum(len(f"{n}-{i}\n") + 3 for n in range(1, 9) for i in range(1, 51))
