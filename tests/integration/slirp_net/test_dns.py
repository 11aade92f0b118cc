"""Names, as dig sees them from inside, with a real name server on a host made up."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.slirp_net.container import DNS, GATEWAY, Container
from tests.integration.slirp_net.outside import PUBLIC, Host
from tests.support.name_server import NameServer


def on(host: Host) -> list[str]:
    return ["nsenter", "--target", str(host.init), "--user", "--mount", "--net"]


@pytest.fixture
def server(on_host: tuple[Host, Container], tmp_path: Path) -> Iterator[NameServer]:
    with NameServer(on(on_host[0]), tmp_path / "log", "127.0.0.53", PUBLIC) as running:
        yield running


@pytest.fixture
def inside(on_host: tuple[Host, Container], server: NameServer) -> Container:
    assert server.asked() == []
    return on_host[1]


def dig(container: Container, *arguments: str) -> str:
    """Return what dig says inside, without cookies, which nobody else sends."""
    command = ["dig", f"@{DNS}", "+nocookie", "+tries=1", "+time=12", *arguments]
    done: subprocess.CompletedProcess[str] = container.run(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def short(container: Container, *arguments: str) -> list[str]:
    return dig(container, "+short", *arguments).splitlines()


@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
@pytest.mark.parametrize("edns", ["+edns=0", "+noedns"])
def test_addresses_are_found(inside: Container, by: str, edns: str) -> None:
    assert short(inside, by, edns, "www.example.test") == ["web.example.test.", "192.0.2.10"]
    assert short(inside, by, edns, "web.example.test", "AAAA") == ["2001:db8::10"]


@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
def test_a_name_that_is_not_there_does_not_exist(inside: Container, by: str) -> None:
    assert "status: NXDOMAIN" in dig(inside, by, "nothing.example.test")


def test_an_answer_too_large_is_truncated_and_comes_by_tcp(inside: Container, server: NameServer) -> None:
    assert "flags: qr tc rd" in dig(inside, "+noedns", "+ignore", "big.example.test", "TXT")
    answer = dig(inside, "+noedns", "big.example.test", "TXT")
    assert "Truncated, retrying in TCP mode" in answer
    assert "ANSWER: 5" in answer
    before = server.asked()
    answer = dig(inside, "+bufsize=4096", "big.example.test", "TXT")
    assert "ANSWER: 5" in answer
    assert "TCP" not in answer.partition("SERVER:")[2]
    assert server.asked() == [*before, "TXT big.example.test"]


def test_a_kept_answer_is_truncated_for_who_takes_less(inside: Container, server: NameServer) -> None:
    assert "ANSWER: 5" in dig(inside, "+noedns", "+tcp", "big.example.test", "TXT")
    before = server.asked()
    answer = dig(inside, "+noedns", "+ignore", "big.example.test", "TXT")
    assert "flags: qr tc rd" in answer
    assert "ANSWER: 0" in answer
    assert server.asked() == before


def test_an_answer_is_kept_while_it_lives(inside: Container, server: NameServer) -> None:
    for _ in range(3):
        assert short(inside, "web.example.test") == ["192.0.2.10"]
    assert short(inside, "WEB.example.test") == ["192.0.2.10"]
    assert short(inside, "+tcp", "web.example.test") == ["192.0.2.10"]
    assert server.asked() == ["A web.example.test"]


def test_that_there_is_nothing_is_kept_too(inside: Container, server: NameServer, resolv_conf: Path) -> None:
    resolv_conf.write_text(f"nameserver {PUBLIC}\n")
    for _ in range(2):
        answer = dig(inside, "nothing.example.test")
        assert "status: NXDOMAIN" in answer
        assert "SOA" in answer
        assert "status: NOERROR" in dig(inside, "web.example.test", "MX")
    assert server.told().count("auth nothing.example.test is NXDOMAIN") == 1


def test_another_network_means_other_servers_and_other_answers(
    inside: Container, on_host: tuple[Host, Container], resolv_conf: Path, tmp_path: Path
) -> None:
    assert short(inside, "web.example.test") == ["192.0.2.10"]
    with NameServer(on(on_host[0]), tmp_path / "vpn", "127.0.0.99", web="198.51.100.7"):
        new = resolv_conf.read_text().replace("127.0.0.53", "127.0.0.99")
        resolv_conf.write_text(f"# by the VPN\nsearch example.test\n{new}")
        assert short(inside, "web.example.test") == ["198.51.100.7"]
    resolv_conf.write_text("nameserver 127.0.0.53\n")
    assert short(inside, "web.example.test") == ["192.0.2.10"]


@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
@pytest.mark.parametrize("first", ["127.0.0.98", "::1", "192.0.2.99"], ids=["refuses", "by IPv6", "no route"])
def test_the_next_server_is_asked_at_once(inside: Container, resolv_conf: Path, by: str, first: str) -> None:
    resolv_conf.write_text(f"nameserver {first}\nnameserver 127.0.0.53\n")
    answer = dig(inside, by, "web.example.test")
    assert "192.0.2.10" in answer
    assert int(answer.partition("Query time: ")[2].split()[0]) < 1000


def test_a_server_that_refuses_the_name_is_not_the_last_word(
    on_host: tuple[Host, Container], resolv_conf: Path, tmp_path: Path
) -> None:
    """One knows only a zone that is not asked for, and there is no other that could; then it is another one's turn."""
    host, container = on_host
    resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 127.0.0.54\n")
    with NameServer(on(host), tmp_path / "log", "127.0.0.53"):
        assert "status: REFUSED" in dig(container, "other.test")
        assert short(container, "web.example.test") == ["192.0.2.10"]


def test_a_silent_server_is_asked_last_for_a_while(inside: Container, on_host: tuple[Host, Container], resolv_conf: Path) -> None:
    def be_silent() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.98", 53))
            deadline = time.monotonic() + 20
            sock.settimeout(20)
            while sock.recv(512)[12:].split(b"\0")[0] != b"\4stop":
                assert time.monotonic() < deadline

    silent = on_host[0].begin(be_silent)
    resolv_conf.write_text("nameserver 127.0.0.98\nnameserver 127.0.0.53\n")
    first = dig(inside, "web.example.test")
    assert "192.0.2.10" in first
    took = int(first.partition("Query time: ")[2].split()[0])
    second = dig(inside, "web.example.test", "AAAA")
    assert "2001:db8::10" in second
    assert took > 1000 > int(second.partition("Query time: ")[2].split()[0])
    resolv_conf.write_text("nameserver 127.0.0.98\n")
    inside.run(lambda: subprocess.run(["dig", f"@{DNS}", "+tries=1", "+time=1", "stop"], capture_output=True, check=False))
    silent.result()


@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
def test_the_names_of_the_host_are_known_here(plain: Container, by: str) -> None:
    assert short(plain, by, "host.containers.internal") == [GATEWAY]
    assert short(plain, by, "host.docker.internal", "AAAA") == []
    assert short(plain, by, "-x", GATEWAY) == ["host.containers.internal."]


def test_without_any_server_the_answer_is_a_failure(on_host: tuple[Host, Container]) -> None:
    assert "status: SERVFAIL" in dig(on_host[1], "example.test")
    assert "status: SERVFAIL" in dig(on_host[1], "+tcp", "example.test")


def test_zone_transfers_are_refused(inside: Container) -> None:
    assert "Transfer failed" in dig(inside, "example.test", "AXFR")


def test_many_ask_at_once(inside: Container, server: NameServer) -> None:
    """Over one connection and without waiting, as RFC 7766 has it; and the same from many ports."""
    names = [f"name{number}.example.test" for number in range(40)]
    answer = dig(inside, "+tcp", "+keepopen", "+noall", "+comments", *names)
    assert answer.count("status: NXDOMAIN") == len(names)

    def ask() -> int:
        query = ["dig", f"@{DNS}", "+short", "+tries=1", "web.example.test"]
        running = [subprocess.Popen(query, stdout=subprocess.PIPE) for _ in range(20)]
        return sum(process.communicate()[0] == b"192.0.2.10\n" for process in running)

    before = len(server.asked())
    assert inside.run(ask) == 20
    assert len(server.asked()) == before + 1
    assert inside.request("stats")["dns"] == 0


def hangs_up(container: Container, data: bytes) -> bool:
    """Tell whether the name server ends a connection over which it is sent this."""

    def send() -> bool:
        with socket.create_connection((DNS, 53), timeout=10) as sock:
            sock.sendall(data)
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            return True

    told: bool = container.run(send)
    return told


def test_a_connection_that_says_nonsense_is_ended(plain: Container) -> None:
    assert hangs_up(plain, b"\0\x0c" + b"\0\7\x80\0" + bytes(8))  # an answer
    assert hangs_up(plain, b"\0\0" * 10)
    assert "10.0.2.2" in dig(plain, "+tcp", "host.containers.internal")
