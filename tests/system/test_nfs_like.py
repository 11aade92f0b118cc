"""A data root on a file system that refuses what NFS refuses: containers run, and what they change is committed, copied and shown.

Each script is run by the unprivileged user in a mount namespace of root's own, with such a file system on /mnt.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import nfs_like
from tests.support.engine import COMMAND, Engine
from tests.support.test_user import USER

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts a file system for the user: needs root")

Shell = Callable[[str], str]


@pytest.fixture
def sh(engine: Engine) -> Shell:
    """Return what runs a script, which must succeed, with `rl` and the busybox image; returns what it prints."""
    source = engine.folder / "server"
    source.mkdir()
    os.chown(source, USER.pw_uid, USER.pw_gid)
    mount = shlex.join([sys.executable, "-I", str(Path(nfs_like.__file__)), str(source), "/mnt", str(USER.pw_uid)])
    become = f"setpriv --reuid {USER.pw_uid} --regid {USER.pw_gid} --init-groups"
    image = shlex.join([sys.executable, "-I", "-m", "rootless.images.busybox", "/bin/busybox"])
    # The probes of the storage drivers, and what is asked for nowhere, choose here.
    environment = {**engine.environment, "RL_ROOT": "/mnt/d"}
    environment.pop("RL_STORAGE_DRIVER", None)

    def run(script: str) -> str:
        own = f'rl() {{ {shlex.join(COMMAND)} "$@"; }}; N="--network none"; {image} > /dev/null; {script}'
        as_root = f"{mount}; exec {become} sh -ec {shlex.quote(own)}"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", as_root]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout

    return run


CHANGE = """
rm /bin/vi; rm -r /home; mkdir /home; echo x > /home/f; exec 5</home/f; echo y > /new; mv /new /home/f; cat <&5
rm /home/f; test -z "$(ls -A /home)"; rm -r /home; mkdir /home; echo z > /home/f; chown 5:6 /home/f; chmod 4711 /home/f
mkfifo /pipe; chown 7 /pipe
"""


def test_changes_are_shown_committed_and_copied(sh: Shell) -> None:
    look = "! ls /bin/vi 2>/dev/null; stat -c '%n %u:%g:%a' /home /home/f /pipe; cat /home/f"
    script = f"""
    rl run --name box $N busybox sh -ec {shlex.quote(CHANGE)}
    rl info --format '{{{{.Driver}}}}'
    rl diff box
    rl commit -q box new > /dev/null
    rl run --rm $N new sh -c {shlex.quote(look)}
    rl --storage-driver vfs run --rm $N new sh -c '! ls /bin/vi 2>/dev/null; ls -A /home; cat /home/f'
    rl cp box:/home/f - | tar tvf - | cut -d ' ' -f 1,2
    rl export box | tar tf - | grep -E '^(home|bin/vi|pipe)'
    rl image diff new
    rl system check
    rl rm -f box
    rl rmi -f new > /dev/null
    find /mnt/d/containers /mnt/d/trash -mindepth 1
    """
    shown = ["/home 0:0:755", "/home/f 5:6:4711", "/pipe 7:0:644", "z"]
    changes = ["C /bin", "D /bin/vi", "C /home", "A /home/f", "A /pipe"]
    expected = ["x", "fuse", *changes, *shown, "f", "z", "-rws--x--x 5/6", "home/", "pipe", "home/f", *changes]
    lines = sh(script).splitlines()
    assert lines[:-2] == expected
    assert lines[-2].endswith("no problems")
    assert lines[-1] == "box"


def test_layers_hide_each_other_and_other_id_maps_work(sh: Shell) -> None:
    change = "rm /home/f; mkdir /data; touch /data/f; chown 3 /data; rm /pipe; mkdir /pipe"
    script = f"""
    rl run --name one $N busybox sh -ec {shlex.quote(CHANGE)} > /dev/null
    rl commit -q one first > /dev/null
    rl run --name two $N first sh -ec {shlex.quote(change)}
    rl commit -q two second > /dev/null
    rl image diff second first
    rl run -d --name three $N --userns keep-id second sleep 100 > /dev/null
    rl exec three sh -ec 'id -u; touch /tmp/own; stat -c "%n %u" /tmp/own /data /bin; ls -A /home /pipe'
    rl rm -f three one two > /dev/null
    find /mnt/d/containers -mindepth 1
    """
    changes = ["A /data", "A /data/f", "C /home", "D /home/f", "C /pipe"]
    inside = [str(USER.pw_uid), f"/tmp/own {USER.pw_uid}", "/data 3", "/bin 0", "/home:", "", "/pipe:"]
    assert sh(script).splitlines() == [*changes, *inside]
