"""The node's sockets of published ports, all bound or none."""

import socket
from collections.abc import Iterator

import pytest

from rootless.errors import InUse, NodeLacks
from rootless.networks.listening import Listeners


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port of the loopback that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def _at(host_port: str, address: str = "127.0.0.1") -> dict[str, str]:
    return {"HostIp": address, "HostPort": host_port}


def test_any_port_is_the_same_for_ipv4_and_ipv6() -> None:
    listeners = Listeners({"80/tcp": [_at("", "")], "53/udp": [_at("", "")]})
    try:
        for port in ("80/tcp", "53/udp"):
            bound = listeners.shown()[port]
            assert [one["HostIp"] for one in bound] in (["0.0.0.0", "::"], ["0.0.0.0"])
            assert len({one["HostPort"] for one in bound}) == 1
    finally:
        listeners.close()


def test_a_port_in_use_gives_the_others_back(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
    with pytest.raises(InUse, match=f"cannot publish port 80/tcp at 127.0.0.1:{taken}: the port is already in use"):
        Listeners({"81/tcp": [_at(str(free))], "80/tcp": [_at(str(taken))]})
    Listeners({"81/tcp": [_at(str(free))]}).close()


def test_the_first_free_port_of_a_range_is_taken(taken: int) -> None:
    if taken > 65500:
        pytest.skip("no ports above that one")
    listeners = Listeners({"80/tcp": [_at(f"{taken}-{taken + 20}")]})
    try:
        assert taken < int(listeners.shown()["80/tcp"][0]["HostPort"]) <= taken + 20
    finally:
        listeners.close()
    with pytest.raises(InUse):
        Listeners({"80/tcp": [_at(f"{taken}-{taken}")]})


def test_an_address_of_another_node_is_named() -> None:
    with pytest.raises(NodeLacks, match=r"203\.0\.113\.1:0: the node has no such address"):
        Listeners({"80/tcp": [_at("", "203.0.113.1")]})
