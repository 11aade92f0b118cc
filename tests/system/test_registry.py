"""The main job against a real registry: Debian's docker-registry on loopback, with images that skopeo put there."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import debian
from tests.support.engine import Engine, check_and_remove, make_folder, remove_tree
from tests.support.registries import Registry
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, busybox_store: Path) -> Iterator[Registry]:
    """A registry with `busybox:latest` and `debian:bookworm`."""
    with Registry() as running:
        running.copy(f"oci:{busybox_store}/images:docker.io/library/busybox:latest", "busybox:latest")
        layout = tmp_path_factory.mktemp("debian") / "layout"
        _make_layout(debian.root_filesystem(), layout)
        running.copy(f"oci:{layout}:bookworm", "debian:bookworm")
        shutil.rmtree(layout)
        yield running


def _make_layout(tar: Path, layout: Path) -> None:
    """Make an OCI layout of a root file system by umoci, which shares no code with us."""
    subprocess.run(["umoci", "init", "--layout", layout], check=True, capture_output=True)
    subprocess.run(["umoci", "new", "--image", f"{layout}:bookworm"], check=True, capture_output=True)
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{layout}:bookworm", tar], check=True, capture_output=True)
    configure = ["umoci", "config", "--image", f"{layout}:bookworm", "--config.cmd", "bash"]
    subprocess.run(configure, check=True, capture_output=True)


@pytest.fixture(scope="session")
def debian_store(registry: Registry) -> Iterator[Path]:
    """A data root with the Debian image, pulled by `rl`."""
    engine = Engine(make_folder())
    engine.rl("pull", f"{registry.host}/debian:bookworm", timeout=300)
    yield engine.data_root
    check_and_remove(engine)


@pytest.fixture(params=["overlay", "fuse", "vfs"])
def debian_engine(request: pytest.FixtureRequest, debian_store: Path) -> Iterator[Engine]:
    """An engine that shares the Debian image's data root, with each storage driver."""
    engine = Engine(make_folder(), {"RL_STORAGE_DRIVER": request.param})
    engine.environment["RL_ROOT"] = str(debian_store)
    yield engine
    remove_tree(engine.folder)


def test_an_image_is_pulled_on_demand_and_run(engine: Engine, registry: Registry) -> None:
    result = engine.rl("run", "--rm", *NONE, f"{registry.host}/busybox", "echo", "pulled")
    assert result.stdout == "pulled\n"
    assert f"Unable to find image '{registry.host}/busybox' locally" in result.stderr
    assert f"{registry.host}/busybox" in engine.rl("images").stdout


def test_pull_policies_and_platforms(engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/changing:latest"

    def put(label: str, architecture: str) -> None:
        registry.push("changing:latest", [], architecture=architecture, config={"Cmd": ["sh"], "Labels": {"name": label}})

    def made(*options: str) -> str:
        container = engine.rl("create", *options, name, "true").stdout.strip()
        label: str = json.loads(engine.rl("inspect", container).stdout)[0]["Config"]["Labels"]["name"]
        return label

    put("first", "amd64")
    assert "No such image" in engine.rl("create", "--pull", "never", name, "true", check=1).stderr
    assert made() == "first"
    put("second", "amd64")
    assert made() == made("--pull", "never") == "first"
    assert made("--pull", "newer") == "second"
    put("third", "amd64")
    assert made("--pull", "always") == "third"
    put("fourth", "s390x")
    assert made("--platform", "linux/amd64") == "third"
    result = engine.rl("create", "-q", "--platform", "linux/s390x", name, "true")
    assert result.stderr == ""
    assert made("--platform", "linux/s390x", "--pull", "never") == "fourth"


def test_debian_s_own_tools_work(debian_engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/debian:bookworm"
    tools = 'apt --version && dpkg -l perl-base | tail -1 && perl -e "print 6*7"'
    script = tools + ' && chown daemon:games /tmp && stat -c "%U %G" /tmp'
    lines = debian_engine.rl("run", "--rm", *NONE, name, "sh", "-c", script, timeout=120).stdout.splitlines()
    assert lines[0].startswith("apt 2.")
    assert lines[1].startswith("ii  perl-base")
    assert lines[2] == "42daemon games"


def test_set_id_programs_and_file_capabilities_hold(debian_engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/debian:bookworm"
    make = "cp /usr/bin/id /usr/local/bin/rootid; chmod 4755 /usr/local/bin/rootid"
    script = f"stat -c %a /usr/bin/passwd; {make}; su nobody -s /bin/sh -c rootid"
    lines = debian_engine.rl("run", "--rm", *NONE, name, "sh", "-c", script, timeout=120).stdout.splitlines()
    assert lines[0] == "4755"
    assert "euid=0(root)" in lines[1]


def test_dpkg_unpacks_and_removes(debian_engine: Engine, registry: Registry) -> None:
    name = f"{registry.host}/debian:bookworm"
    script = "dpkg --purge --force-depends ca-certificates >/dev/null 2>&1; test ! -e /usr/sbin/update-ca-certificates && echo gone"
    assert debian_engine.rl("run", "--rm", *NONE, name, "sh", "-c", script, timeout=120).stdout.endswith("gone\n")


def test_a_registries_conf_gives_a_mirror_and_an_alias(engine: Engine, registry: Registry) -> None:
    folder = Path(engine.environment["HOME"]) / ".config" / "containers"
    folder.mkdir(parents=True)
    (folder / "registries.conf").write_text(
        f'[[registry]]\nlocation = "example.invalid"\n[[registry.mirror]]\nlocation = "{registry.host}"\ninsecure = true\n'
        f'[aliases]\n"deb" = "{registry.host}/busybox"\n'
    )
    engine.rl("pull", "example.invalid/busybox")
    assert engine.rl("run", "--rm", *NONE, "example.invalid/busybox", "echo", "mirrored").stdout == "mirrored\n"
    engine.rl("pull", "deb")
    assert f"{registry.host}/busybox" in engine.rl("images").stdout


def test_a_local_image_is_used_before_anything_is_pulled(engine: Engine, registry: Registry) -> None:
    engine.rl("pull", f"{registry.host}/busybox")
    engine.rl("rmi", "docker.io/library/busybox:latest")
    assert engine.rl("run", "--rm", *NONE, "busybox", "echo", "local").stdout == "local\n"


def test_an_image_in_use_is_kept(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "busybox", "true")
    assert "uses image" in engine.rl("rmi", "busybox", check=1).stderr
    engine.rl("rm", "box")
    engine.rl("rmi", "busybox")
    assert engine.rl("images", "-q").stdout == ""


def test_import_makes_an_image_of_a_root_file_system(engine: Engine) -> None:
    tar = engine.folder / "root.tar"
    files = ["bin/busybox"]
    subprocess.run(["tar", "-cf", tar, "-C", "/", *files], check=True, **drop_privileges())
    digest = engine.rl("import", str(tar), "mine:1").stdout.strip()
    assert digest.startswith("sha256:")
    assert engine.rl("run", "--rm", *NONE, "mine:1", "/bin/busybox", "echo", "imported").stdout == "imported\n"
    (document,) = json.loads(engine.rl("inspect", "mine:1").stdout)
    assert document["Id"] == digest


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("127.0.0.1:1/down/image", "127.0.0.1:1"),
        ("{host}/nosuch", "nosuch"),
        ("{host}/busybox:nosuchtag", "nosuchtag"),
        ("{host}/busybox@sha256:" + "0" * 64, "sha256:0"),
        ("UPPER/case", "UPPER/case"),
    ],
)
def test_images_that_cannot_be_had_are_named_with_a_hint(engine: Engine, registry: Registry, name: str, text: str) -> None:
    result = engine.rl("run", "--rm", name.format(host=registry.host), "true", check=125, timeout=120)
    assert text in result.stderr
    assert "hint: " in result.stderr
    assert engine.rl("ps", "-aq").stdout == ""
    assert os.listdir(engine.data_root / "images" / "partial") == []
