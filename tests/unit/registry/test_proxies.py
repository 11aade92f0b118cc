import pytest

from rootless.errors import InvalidInput
from rootless.registry.proxies import proxy_for

PROXY = "http://proxy.example:3128"


def chosen(host: str, scheme: str = "https", port: int | None = None, **environ: str) -> str | None:
    return proxy_for(scheme, host, port, environ)


def test_the_scheme_s_variable_then_the_one_for_all() -> None:
    assert chosen("a.example") is None
    assert chosen("a.example", https_proxy=PROXY, http_proxy="http://other") == PROXY
    assert chosen("a.example", HTTPS_PROXY=PROXY) == PROXY
    assert chosen("a.example", scheme="http", all_proxy=PROXY) == PROXY
    assert chosen("a.example", https_proxy="proxy.example:3128") == PROXY
    assert chosen("a.example", scheme="http", HTTP_PROXY=PROXY, REQUEST_METHOD="GET") is None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_needs_none(host: str) -> None:
    assert chosen(host, https_proxy=PROXY) is None


@pytest.mark.parametrize(
    ("no_proxy", "excluded"),
    [
        ("*", True),
        ("example.com", True),
        (" x , .example.com ", True),
        ("*.example.com", True),
        ("ample.com", False),
        ("a.example.com:443", True),
        ("a.example.com:8443", False),
        ("", False),
    ],
)
def test_names_in_no_proxy(no_proxy: str, excluded: bool) -> None:
    assert (chosen("a.example.com", https_proxy=PROXY, no_proxy=no_proxy) is None) == excluded


def test_addresses_and_networks_in_no_proxy() -> None:
    for pattern in ("10.1.2.3", "10.0.0.0/8", "10.1.2.3:443"):
        assert chosen("10.1.2.3", https_proxy=PROXY, NO_PROXY=pattern) is None
    assert chosen("2001:db8::1", https_proxy=PROXY, no_proxy="[2001:db8::1]:443") is None
    for pattern in ("10.1.2.4", "11.0.0.0/8", "10.0.0.0/99"):
        assert chosen("10.1.2.3", https_proxy=PROXY, no_proxy=pattern) == PROXY


@pytest.mark.parametrize("url", ["socks5://user:secret@proxy", "http://user:secret@:99999", "http://user:secret@p:x"])
def test_a_bad_proxy_is_named_by_its_variable_only(url: str) -> None:
    with pytest.raises(InvalidInput, match="https_proxy") as failure:
        chosen("a.example", https_proxy=url)
    assert "secret" not in failure.value.message
