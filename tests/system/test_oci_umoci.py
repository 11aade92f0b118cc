"""`rl oci run` of a bundle as umoci unpacks it for a user without subordinate IDs."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.oci_bundle import Runtime
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def test_a_bundle_of_umoci_s_runs(runtime: Runtime) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("umoci is not installed")
    image, unpacked = str(runtime.folder / "home" / "image"), runtime.folder / "home" / "unpacked"
    for command in (
        ("umoci", "init", "--layout", image),
        ("umoci", "new", "--image", f"{image}:latest"),
        ("umoci", "unpack", "--rootless", "--image", f"{image}:latest", str(unpacked)),
        ("cp", "-a", f"{runtime.bundle}/rootfs/bin", str(unpacked / "rootfs")),
    ):
        subprocess.run(command, env=runtime.environment, cwd=runtime.folder, check=True, capture_output=True, **drop_privileges())
    path = unpacked / "config.json"
    spec = json.loads(path.read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "id -u; wc -l < /proc/self/uid_map"])
    path.write_text(json.dumps(spec))
    assert runtime.run("run", "--bundle", str(unpacked), "one").stdout == "0\n1\n"
