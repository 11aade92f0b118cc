"""The host's name servers: what counts as one, and that changes are seen."""

import os
from pathlib import Path

import pytest

from slirp_net.host.resolv_conf import NameServers, parse
from slirp_net.json_packets import emit_object, parse_object


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("nameserver 127.0.0.53\n", ("127.0.0.53",)),
        ("# nameserver 1.2.3.4\n;nameserver 1.2.3.4\nnameserver\t192.0.2.1 # ours", ("192.0.2.1",)),
        ("nameserver ::1\nnameserver fe80::1%eth0\n", ("::1", "fe80::1%eth0")),
        ("nameserver nowhere\nnameserver 1.2\nnameserver\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("".join(f"nameserver 192.0.2.{number}\n" for number in range(9)), ("192.0.2.0", "192.0.2.1", "192.0.2.2")),
    ],
)
def test_name_servers_are_found(text: str, expected: tuple[str, ...]) -> None:
    assert parse(text) == expected


def test_changes_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = NameServers(str(path))
    assert servers.current() == ("127.0.0.1",)
    path.write_text("nameserver 192.0.2.1\n")
    assert servers.current() == ("192.0.2.1",)
    replacement = tmp_path / "new"
    replacement.write_text("nameserver 192.0.2.2\n")
    os.replace(replacement, path)
    assert servers.current() == ("192.0.2.2",)
    path.write_text("options edns0\n")
    assert servers.current() == ("127.0.0.1",)
    path.unlink()
    assert servers.current() == ("127.0.0.1",)


@pytest.mark.parametrize("fields", [{}, {"ok": True, "n": 7, "text": 'a"b\\c\n\x1f é', "inner": {"no": False}}])
def test_objects_come_back(fields: dict[str, object]) -> None:
    assert parse_object(emit_object(fields)) == fields


@pytest.mark.parametrize("packet", [b"", b"{", b"[]", b"7", b"nonsense", b'{"a": }', b"\xff\xfe", b'{"a": 1', b'{"a": 1} {}'])
def test_what_is_no_object_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|codec|delimiter|Expecting"):
        parse_object(packet)
