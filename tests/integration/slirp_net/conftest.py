"""Containers with a network for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.slirp_net.container import Container
from tests.integration.slirp_net.outside import Host


@pytest.fixture(
    params=[(65520, "tap"), (1500, "tap"), (65520, "veth"), (1500, "veth")],
    ids=["mtu65520", "mtu1500", "veth_mtu65520", "veth_mtu1500"],
)
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    mtu, device = request.param
    with Container(mtu, device=device) as made:
        yield made.start()


@pytest.fixture
def plain() -> Iterator[Container]:
    with Container() as made:
        yield made.start()


@pytest.fixture
def resolv_conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The host's, where the unprivileged user can read it."""
    folder = tmp_path_factory.mktemp("host")
    path = folder / "resolv.conf"
    path.write_text("nameserver 127.0.0.53\n")
    for one in (folder, *list(folder.parents)[:-1]):
        if one.stat().st_mode & 0o5 != 0o5:  # pytest's own folders; what lies above them is open
            one.chmod(one.stat().st_mode | 0o755)
    return path


@pytest.fixture
def on_host(resolv_conf: Path) -> Iterator[tuple[Host, Container]]:
    """A host made up, and a container on it that may reach its loopback."""
    with Host(str(resolv_conf)) as host, Container() as made:
        made.start(host.place)
        yield host, made
