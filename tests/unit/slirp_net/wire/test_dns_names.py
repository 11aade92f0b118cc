"""Names in messages, and the names of addresses."""

import socket

import pytest

from slirp_net.wire import dns_names


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.2.0.10.in-addr.arpa", "10.0.2.2"),
        ("0.10.in-addr.arpa", None),
        ("300.2.0.10.in-addr.arpa", None),
        ("x.2.0.10.in-addr.arpa", None),
        ("2.2.0.10.in-addr.arpa.test", None),
        (".".join(reversed("20010db8" + "0" * 23 + "1")) + ".ip6.arpa", "2001:db8::1"),
        ("1.ip6.arpa", None),
        ("host.test", None),
    ],
)
def test_a_name_stands_for_an_address(name: str, address: str | None) -> None:
    family = socket.AF_INET6 if address is not None and ":" in address else socket.AF_INET
    assert dns_names.address_of(name) == (None if address is None else socket.inet_pton(family, address))


def test_a_name_is_emitted() -> None:
    assert dns_names.emit("web.example") == b"\3web\7example\0"
    assert dns_names.emit("") == b"\0"


@pytest.mark.parametrize(
    ("message", "end"),
    [
        (b"\3web\0....", 5),
        (b"\3web\xc0\x0c....", 6),
        (b"\0", 1),
        (b"\3we", 0),
        (b"", 0),
        (b"\x40" + b"x" * 100 + b"\0", 0),
        (b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 4 + b"\0", 0),
    ],
)
def test_the_end_of_a_name_is_found(message: bytes, end: int) -> None:
    assert dns_names.end_of(message, 0) == end
