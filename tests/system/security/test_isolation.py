"""Ways round a private network and a private root: the node's services, abstract sockets, attributes of the union, set-ID files."""

import os
import socket
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tars
from tests.support.engine import Engine
from tests.support.test_user import USER

from .conftest import import_image, root_file_system

NONE = ("--network", "none")


@pytest.fixture
def service() -> Iterator[socket.socket]:
    """A service on the node's loopback and nowhere else."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.5)
        yield listener


def was_reached(listener: socket.socket) -> bool:
    try:
        connection, _address = listener.accept()
    except TimeoutError:
        return False
    connection.close()
    return True


def test_services_on_the_node_s_loopback(hostile: Engine, service: socket.socket) -> None:
    port = service.getsockname()[1]
    names = ("10.0.2.2", "10.0.2.3", "10.0.2.100", "127.0.0.1", "host.containers.internal", "0.0.0.0", "localhost")
    script = f"for name in {' '.join(names)}; do nc -w 1 $name {port} </dev/null && echo LEAK $name; done; echo done"
    assert hostile.rl("run", "--rm", "hostile", "sh", "-c", script).stdout == "done\n"
    frames = "; ".join(f"/attacker syn {address} {port}" for address in ("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.2.2"))
    assert "sent" in hostile.rl("run", "--rm", "hostile", "sh", "-c", frames).stdout
    assert not was_reached(service)
    script = f"timeout 3 nc -w 1 10.0.2.2 {port} </dev/null; true"
    hostile.rl("run", "--rm", "--network", "slirp:allow_host_loopback=true", "hostile", "sh", "-c", script, check=None)
    assert was_reached(service)


def test_abstract_sockets_belong_to_a_network(hostile: Engine) -> None:
    """With `--network host` they are shared, as README says: X11 and D-Bus of the user's session are such."""
    name = f"rl-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        for network, expected in (("none", "ECONNREFUSED\n"), ("slirp", "ECONNREFUSED\n"), ("host", "connected\n")):
            assert hostile.rl("run", "--rm", "--network", network, "hostile", "/attacker", "abstract", name).stdout == expected


ATTRIBUTES = {
    "user.overlay.redirect": "/secret",
    "user.overlay.opaque": "y",
    "user.overlay.whiteout": "y",
    "user.overlay.metacopy": "y",
    "user.overlay.origin": "y",
    "trusted.overlay.redirect": "/secret",
    "user.containers.override_stat": "0:0:04755:file",
}
LOOK = "ls /below; ls /new; stat -c '%u %a' /new; cat /below/file"


@pytest.mark.parametrize("driver", ["overlay", "fuse", "vfs"])
def test_attributes_of_the_union_forged_inside(hostile: Engine, programs: Path, driver: str) -> None:
    """A redirect to another folder, an opaque mark, a whiteout: after the next start the container sees what it saw before."""
    hostile.environment["RL_STORAGE_DRIVER"] = driver
    try:
        lower = [tars.folder("below"), tars.file("below/file", b"of the image"), tars.folder("secret"), tars.file("secret/file")]
        import_image(hostile, "layers", [*root_file_system(programs), *lower])
        forge = [f"/attacker xattr {path} {name} {value}" for path in ("/below", "/new") for name, value in ATTRIBUTES.items()]
        if driver != "vfs":  # in a plain copy a device 0:0 is what it is
            forge.append("mknod /below/hidden c 0 0")
        script = f"mkdir /new; touch /new/own /below/own; {'; '.join(forge)}; true"
        hostile.rl("run", "--name", "box", *NONE, "layers", "sh", "-c", f"if [ -e /new ]; then {LOOK}; else {script}; fi")
        listing = hostile.rl("start", "-a", "box").stdout
        assert listing.split() == ["file", "own", "own", "0", "755", "of", "the", "image"]
    finally:
        del hostile.environment["RL_STORAGE_DRIVER"]


def test_owners_forged_by_a_user_of_a_container(hostile: Engine) -> None:
    """A file that says in the xattr of flat layers that it is root's and set-user-ID: an export knows better."""
    script = "cp /attacker /tmp/own; chmod 755 /tmp/own; /attacker xattr /tmp/own user.containers.override_stat 0:0:04755:file"
    assert hostile.rl("run", "--name", "box", "-u", "user", *NONE, "hostile", "sh", "-c", script).stdout == "OK\n"
    path = hostile.folder / "export.tar"
    hostile.rl("export", "-o", str(path), "box")
    with tarfile.open(path) as archive:
        member = archive.getmember("tmp/own")
    assert (member.uid, member.mode) == (1000, 0o755)


def test_attributes_of_the_union_forged_by_an_image(hostile: Engine, programs: Path) -> None:
    forged = {f"SCHILY.xattr.{name}": value for name, value in ATTRIBUTES.items()}
    entries = [tars.folder("forged", pax_headers=forged), tars.file("forged/file", b"shown", pax_headers=forged)]
    import_image(hostile, "forged", [*root_file_system(programs), *entries])
    for driver in ("overlay", "fuse", "vfs"):
        environment = {"RL_STORAGE_DRIVER": driver}
        assert hostile.rl("run", "--rm", *NONE, "forged", "cat", "/forged/file", env=environment).stdout == "shown"


def test_set_id_files_are_out_of_the_reach_of_other_users(hostile: Engine, programs: Path) -> None:
    """In an image and in a container's upper they belong to the user or to subordinate IDs: to execute one is to be that user.

    So no other user can come to them, whatever the mode of the data root and of the file (CVE-2021-41091).
    """
    set_id = tars.file("bin/become", (programs / "attacker").read_bytes(), mode=0o6755)
    import_image(hostile, "set-id", [*root_file_system(programs), set_id])
    hostile.rl("run", "--name", "one", *NONE, "set-id", "sh", "-c", "cp /attacker /upper; chmod 6755 /upper; mkdir -m 777 /open")
    hostile.rl("run", "--name", "two", *NONE, "set-id", "true", env={"RL_STORAGE_DRIVER": "vfs"})
    found = 0
    hostile.data_root.chmod(0o777)
    for folder, subfolders, files in os.walk(hostile.data_root):
        status = os.stat(folder)
        assert status.st_uid == USER.pw_uid or not status.st_mode & stat.S_IWOTH
        if not status.st_mode & stat.S_IXOTH:
            found += sum(1 for below, _folders, names in os.walk(folder) for name in names if _is_set_id(f"{below}/{name}"))
            subfolders.clear()
            continue
        assert not [name for name in files if _is_set_id(f"{folder}/{name}")]
    assert found >= 3


def _is_set_id(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_ISUID | stat.S_ISGID))
