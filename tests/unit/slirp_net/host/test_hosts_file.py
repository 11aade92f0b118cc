"""The names of the host's /etc/hosts: which count, and that changes are followed."""

from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop

import pytest

from slirp_net.host.hosts_file import HostsFile


def found(hosts: HostsFile, name: str) -> list[str] | None:
    addresses = hosts.addresses(name)
    return None if addresses is None else [inet_ntop(AF_INET if len(one) == 4 else AF_INET6, one) for one in addresses]


def test_names_are_found_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1\tNas.Example. nas # of ours\n192.0.2.2 nas\n2001:db8::1 nas\n\n# 192.0.2.3 not\n192.0.2.4\n")
    hosts = HostsFile(str(path))
    assert found(hosts, "nas.example") == ["192.0.2.1"]
    assert found(hosts, "nas") == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert found(hosts, "not") is None
    assert hosts.name_of(bytes((192, 0, 2, 1))) == "nas.example"
    assert hosts.name_of(bytes((192, 0, 2, 4))) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.0.1.1",
        "::1",
        "::",
        "0.0.0.0",
        "fe80::1",
        "fe80::1%eth0",
        "169.254.1.1",
        "224.0.0.1",
        "ff02::1",
        "1.2.3",
        "x",
    ],
)
def test_what_means_something_else_inside_does_not_count(tmp_path: Path, address: str) -> None:
    path = tmp_path / "hosts"
    path.write_text(f"{address} name\n")
    assert HostsFile(str(path)).addresses("name") is None


def test_changes_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = HostsFile(str(path))
    assert hosts.addresses("name") is None
    path.write_text("192.0.2.1 name\n")
    assert found(hosts, "name") == ["192.0.2.1"]
    path.write_text("192.0.2.21 name\n")
    assert found(hosts, "name") == ["192.0.2.21"]
    path.unlink()
    assert hosts.addresses("name") is None
