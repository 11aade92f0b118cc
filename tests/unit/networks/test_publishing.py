"""What `-p` means, and how published ports are shown; Docker's `docker run -p` and `docker ps` are the model."""

import pytest

from rootless.errors import InvalidInput
from rootless.networks import publishing

_ANY = {"HostIp": "", "HostPort": ""}


def _at(host_port: str, address: str = "") -> dict[str, str]:
    return {"HostIp": address, "HostPort": host_port}


@pytest.mark.parametrize(
    ("texts", "bindings"),
    [
        (["8080:80"], {"80/tcp": [_at("8080")]}),
        (["80"], {"80/tcp": [_ANY]}),
        ([":80", "0:81"], {"80/tcp": [_ANY], "81/tcp": [_ANY]}),
        (["8080:80/UDP"], {"80/udp": [_at("8080")]}),
        (["127.0.0.1:8080:80"], {"80/tcp": [_at("8080", "127.0.0.1")]}),
        (["127.0.0.1::80"], {"80/tcp": [_at("", "127.0.0.1")]}),
        (["[::1]:8080:80"], {"80/tcp": [_at("8080", "::1")]}),
        (["[0:0::1]::80"], {"80/tcp": [_at("", "::1")]}),
        (["8000-8001:80-81"], {"80/tcp": [_at("8000")], "81/tcp": [_at("8001")]}),
        (["8000-8010:80"], {"80/tcp": [_at("8000-8010")]}),
        (["80-81"], {"80/tcp": [_ANY], "81/tcp": [_ANY]}),
        (["8080:80", "8081:80", "8080:80"], {"80/tcp": [_at("8080"), _at("8081")]}),
        ([], {}),
    ],
)
def test_what_is_asked_for(texts: list[str], bindings: publishing.Bindings) -> None:
    assert publishing.parse(texts) == bindings


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no port specified"),
        ("8080:", "no port specified"),
        ("8080:http", "invalid containerPort: http"),
        ("8080:0", "invalid containerPort: 0"),
        ("8080:65536", "invalid containerPort: 65536"),
        ("8080:90-80", "invalid containerPort: 90-80"),
        ("8080:80-", "invalid containerPort: 80-"),
        ("x:80", "invalid hostPort: x"),
        ("٣:80", "invalid hostPort: ٣"),
        ("999999:80", "invalid hostPort: 999999"),
        ("localhost:8080:80", "invalid IP address: localhost"),
        ("::1:8080:80", "invalid IP address: ::1"),
        ("[127.0.0.1:80:80", "invalid IP address"),
        ("8080:80/sctp", "invalid proto: sctp"),
        ("8080:80/tcp/udp", "invalid proto: tcp/udp"),
        ("8000-8002:80-81", "invalid ranges"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint.replace("[", r"\[")) as caught:
        publishing.parse([text])
    assert caught.value.hint


def test_all_exposed_ports_are_added_unless_published() -> None:
    bindings = publishing.with_exposed({"80/tcp": [_at("8080")]}, ["80/tcp", "53/udp", "7/sctp"])
    assert bindings == {"80/tcp": [_at("8080")], "53/udp": [_ANY]}


@pytest.mark.parametrize(
    ("ports", "exposed", "text"),
    [
        ({"80/tcp": [_at("8080", "0.0.0.0"), _at("8080", "::")]}, [], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ({"80/tcp": [_at("8000", "0.0.0.0")], "81/tcp": [_at("8001", "0.0.0.0")]}, [], "0.0.0.0:8000-8001->80-81/tcp"),
        ({"80/tcp": [_at("80", "0.0.0.0")], "81/tcp": [_at("82", "0.0.0.0")]}, [], "0.0.0.0:80->80/tcp, 0.0.0.0:82->81/tcp"),
        ({}, ["53/udp", "80/tcp", "81/tcp"], "53/udp, 80-81/tcp"),
        ({"80/tcp": [_at("8080", "127.0.0.1")]}, ["80/tcp", "443/tcp"], "127.0.0.1:8080->80/tcp, 443/tcp"),
        ({}, [], ""),
    ],
)
def test_what_ps_shows(ports: publishing.Bindings, exposed: list[str], text: str) -> None:
    assert publishing.shown(ports, exposed) == text
