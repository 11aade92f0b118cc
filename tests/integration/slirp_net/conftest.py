"""Containers with a network for every test."""

from collections.abc import Iterator

import pytest

from tests.integration.slirp_net.container import Container


@pytest.fixture(params=[65520, 1500], ids=["mtu65520", "mtu1500"])
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    with Container(request.param) as made:
        yield made.start()


@pytest.fixture
def plain() -> Iterator[Container]:
    with Container() as made:
        yield made.start()
