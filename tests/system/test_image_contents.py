"""Images whose files or config are not what one expects: links to nothing where mounts go, fields of the wrong type."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from rootless.images.layout import Layout
from rootless.locations import Locations
from tests.support.engine import Engine

NONE = ("--network", "none")


def _import(engine: Engine, links: dict[str, str], name: str = "odd", folders: tuple[str, ...] = ()) -> None:
    """Import an image of busybox with these symbolic links and folders."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        program = tarfile.TarInfo("bin/busybox")
        content = Path("/bin/busybox").read_bytes()
        program.size, program.mode = len(content), 0o755
        tar.addfile(program, io.BytesIO(content))
        for folder in folders:
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for path, target in {"bin/sh": "busybox", "bin/cat": "busybox", **links}.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    path = engine.folder / f"{name}.tar"
    path.write_bytes(stream.getvalue())
    path.chmod(0o644)
    engine.rl("import", str(path), name)


@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_mounts_go_where_links_to_nothing_lead(engine: Engine, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    links = {
        "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
        "etc/hosts": "/nowhere/hosts",
        "etc/hostname": "a-link",
        "etc/a-link": "../../../../../out/../still/inside",
        "var/run": "/run",
        "data": "srv/data",
        "work": "var/run/work",
    }
    _import(engine, links)
    source = engine.folder / "source"
    source.mkdir()
    (source / "file").write_text("of the node")
    files = "/etc/hosts /etc/hostname /etc/resolv.conf"
    script = f"cat {files} >/dev/null; cat /data/file /srv/data/file /var/run/new/file; busybox pwd"
    options = ("-v", f"{source}:/data", "-v", f"{source}:/var/run/new", "-w", "/work")
    ended = engine.rl("run", "--rm", *NONE, *options, "odd", "sh", "-c", script)
    assert ended.stdout == "of the node" * 3 + "/run/work\n"
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize("target", ["hosts", "loop", "/etc/hosts"])
def test_links_in_a_circle_are_an_error(engine: Engine, target: str) -> None:
    _import(engine, {"etc/hosts": target, "etc/loop": "hosts"})
    ended = engine.rl("run", "--rm", *NONE, "odd", "sh", check=125)
    assert "cannot mount" in ended.stderr
    assert "symbolic links" in ended.stderr


def test_a_folder_upon_a_file_and_a_working_folder_that_is_a_file(engine: Engine) -> None:
    assert "upon a folder only" in engine.rl("run", "--rm", *NONE, "-v", "/etc:/bin/busybox", "busybox", "true", check=125).stderr
    ended = engine.rl("run", "--rm", *NONE, "-w", "/bin/busybox", "busybox", "true", check=126)
    assert ended.stderr == 'rl: cannot use the working directory "/bin/busybox": Not a directory\n'
    assert "inside /proc" in engine.rl("run", "--rm", *NONE, "-v", "/etc:/proc/x", "busybox", "true", check=125).stderr
    assert engine.rl("run", "--rm", *NONE, "busybox", "", check=127).stderr == 'rl: exec: "": executable file not found in $PATH\n'


WRONG: list[tuple[str, Any]] = [
    ("Env", "PATH=/bin"),
    ("Env", [1]),
    ("Cmd", "sh"),
    ("Cmd", ["a\0b"]),
    ("Entrypoint", {"a": 1}),
    ("User", 0),
    ("WorkingDir", ["/"]),
    ("WorkingDir", "/a\0b"),
    ("Labels", []),
    ("Volumes", "x"),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_config_of_the_wrong_type_names_the_field(engine: Engine, field: str, value: object) -> None:
    _set_config(engine, {field: value})
    ended = engine.rl("run", "--rm", *NONE, "busybox", "true", check=125)
    assert f"config is malformed: {field} is not" in ended.stderr
    assert engine.rl("ps", "-aq").stdout == ""
    engine.rl("images")


def _set_config(engine: Engine, fields: dict[str, object]) -> None:
    """Give the one image another `config` object, in place: as a layout that another tool wrote."""
    layout = Layout(Locations(str(engine.data_root), str(engine.runtime_dir)))
    (descriptor,) = layout.descriptors()
    config_digest = layout.read_document(descriptor["digest"])["config"]["digest"]
    path = Path(layout.blob_path(config_digest))
    document = json.loads(path.read_text())
    document["config"] = {**(document.get("config") or {}), **fields}
    path.chmod(0o644)
    path.write_text(json.dumps(document))
