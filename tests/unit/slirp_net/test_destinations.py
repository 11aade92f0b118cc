"""What a container may reach, and how the engine's description of its network is read."""

import pytest

from slirp_net import destinations
from slirp_net.configuration import Configuration, parse_ipv4
from slirp_net.host import own_address

FIELDS = {
    "address": "10.0.2.100/24",
    "gateway": "10.0.2.2",
    "dns": "10.0.2.3",
    "mtu": 65520,
    "mac": "02:00:0a:00:02:64",
    "gateway_mac": "02:00:0a:00:02:02",
    "allow_host_loopback": True,
    "names": {"Host.Containers.Internal.": "10.0.2.2"},
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.2.2", "127.0.0.1"),
        ("10.0.2.3", destinations.REFUSED),
        ("10.0.2.77", destinations.NO_HOST),
        ("10.0.2.100", destinations.NO_HOST),
        ("10.0.2.255", destinations.SILENCE),
        ("10.0.3.1", "10.0.3.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("0.0.0.0", destinations.SILENCE),
        ("0.1.2.3", destinations.SILENCE),
        ("127.0.0.1", destinations.SILENCE),
        ("127.255.255.254", destinations.SILENCE),
        ("126.255.255.255", "126.255.255.255"),
        ("128.0.0.0", "128.0.0.0"),
        ("169.254.169.254", destinations.SILENCE),
        ("169.253.1.1", "169.253.1.1"),
        ("223.255.255.255", "223.255.255.255"),
        ("224.0.0.1", destinations.SILENCE),
        ("255.255.255.255", destinations.SILENCE),
    ],
)
def test_a_destination_stands_for_what_the_table_says(address: str, expected: str) -> None:
    assert destinations.resolve(Configuration(FIELDS), parse_ipv4(address)) == expected


def test_the_hosts_loopback_is_closed_by_default() -> None:
    """What the host offers to its network is reached all the same."""
    fields = {name: value for name, value in FIELDS.items() if name != "allow_host_loopback"}
    assert destinations.resolve(Configuration(fields), parse_ipv4("10.0.2.2")) == (own_address.find() or destinations.REFUSED)
    assert not str(own_address.find()).startswith("127.")


def test_a_description_is_read() -> None:
    configuration = Configuration(FIELDS)
    assert configuration.mss4 == 65480
    assert configuration.names == {"host.containers.internal": bytes((10, 0, 2, 2))}
    assert configuration.mac == bytes.fromhex("02000a000264")
    assert configuration.in_subnet(bytes((10, 0, 2, 255)))
    assert not configuration.in_subnet(bytes((10, 0, 3, 0)))


@pytest.mark.parametrize(
    "changes",
    [{"mtu": 575}, {"mtu": 65536}, {"address": "10.0.2.100/33"}, {"address": "10.0.2/24"}, {"dns": "1"}, {"mac": "02:00"}],
    ids=str,
)
def test_a_bad_description_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises((ValueError, OSError)):
        Configuration({**FIELDS, **changes})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(KeyError, match="gateway"):
        Configuration({"address": "10.0.2.100/24"})
