"""Containers with a network for every test."""

from collections.abc import Iterator

import pytest

from tests.integration.slirp_net import containers
from tests.integration.slirp_net.containers import Container


@pytest.fixture(params=[65520, 1500], ids=["mtu65520", "mtu1500"])
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    with containers.container(request.param) as made:
        yield made


@pytest.fixture
def plain() -> Iterator[Container]:
    with containers.container() as made:
        yield made
