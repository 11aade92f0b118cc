"""What the forwarder knows by itself, in which order, and who is asked for the rest."""

import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from slirp_net.host.dns import Forwarder
from slirp_net.host.hosts_file import HostsFile
from slirp_net.host.names import FixedNames
from slirp_net.host.resolv_conf import NameServers
from slirp_net.loop import Loop
from slirp_net.wire import dns, dns_names

OWN = bytes((10, 0, 2, 2))


class Members:
    """A source like that of a network's containers: names come and go."""

    is_last_word = True

    def __init__(self) -> None:
        self.members: dict[str, list[bytes]] = {}

    def addresses(self, name: str) -> Sequence[bytes] | None:
        return self.members.get(name)

    def name_of(self, address: bytes) -> str | None:
        return next((name for name, addresses in self.members.items() if address in addresses), None)


@pytest.fixture
def members() -> Members:
    return Members()


@pytest.fixture
def forwarder(tmp_path: Path, members: Members) -> Iterator[Forwarder]:
    """One whose host has no resolv.conf, so that the loopback is asked, as the C library does."""
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.1 nas host.internal\n")
    sources = [FixedNames({"host.internal": OWN}), members, HostsFile(str(hosts))]
    times = iter(range(0, 1000, 20))
    loop = Loop(lambda: float(next(times)))
    made = Forwarder(loop, NameServers(os.devnull), sources)
    yield made
    while len(made):
        loop.round(0)


def ask(forwarder: Forwarder, name: str, kind: int = dns.A) -> tuple[int, list[bytes]] | None:
    """Return the code and the data of an answer that is given at once, or None."""
    query = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + dns_names.emit(name) + struct.pack(">HH", kind, dns.INTERNET)
    answers: list[bytes] = []
    forwarder.on_query(query, "somebody", answers.append)
    if not answers:
        return None
    (message,) = answers
    question = dns.parse_query(query)
    assert question is not None
    assert dns.answers(message, question, query)
    data, at = [], len(query)
    for _ in range(struct.unpack_from(">H", message, 6)[0]):
        (length,) = struct.unpack_from(">H", message, at + 10)
        data.append(message[at + 12 : at + 12 + length])
        at += 12 + length
    return dns.code_of(message), data


def test_the_first_source_that_knows_a_name_answers(forwarder: Forwarder, members: Members) -> None:
    assert ask(forwarder, "host.internal") == (dns.NO_ERROR, [OWN])
    assert ask(forwarder, "nas") == (dns.NO_ERROR, [bytes((192, 0, 2, 1))])
    members.members["nas"] = [bytes((10, 0, 2, 7)), bytes((10, 0, 2, 8)), bytes(15) + b"\7"]
    assert ask(forwarder, "nas") == (dns.NO_ERROR, [bytes((10, 0, 2, 7)), bytes((10, 0, 2, 8))])
    assert ask(forwarder, "NAS", dns.AAAA) == (dns.NO_ERROR, [bytes(15) + b"\7"])
    assert ask(forwarder, "7.2.0.10.in-addr.arpa", dns.PTR) == (dns.NO_ERROR, [dns_names.emit("nas")])
    members.members.clear()
    assert ask(forwarder, "nas") == (dns.NO_ERROR, [bytes((192, 0, 2, 1))])


def test_other_records_of_our_own_names_do_not_exist(forwarder: Forwarder) -> None:
    """But those of names in /etc/hosts may: a name server is asked, and none answers here."""
    assert ask(forwarder, "host.internal", dns.SOA) == (dns.NO_ERROR, [])
    assert ask(forwarder, "nas", dns.AAAA) == (dns.NO_ERROR, [])
    assert ask(forwarder, "nas", dns.SOA) != (dns.NO_ERROR, [])


def test_messages_that_ask_nothing_are_answered_with_an_error_or_not_at_all(forwarder: Forwarder) -> None:
    answers: list[bytes] = []
    forwarder.on_query(struct.pack(">6H", 7, 0x2800, 1, 0, 0, 0), "somebody", answers.append)
    forwarder.on_query(struct.pack(">6H", 8, 0x8000, 1, 0, 0, 0), "somebody", answers.append)
    forwarder.on_query(b"\0\7", "somebody", answers.append)
    assert [answer[:4] for answer in answers] == [b"\0\7\xa8\4"]
