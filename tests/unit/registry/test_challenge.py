import pytest

from rootless.registry.challenge import Challenge, parse


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ('Basic realm="x"', [Challenge("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push"',
            [Challenge("bearer", {"realm": "https://a/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"})],
        ),
        ('Negotiate, Basic realm=plain', [Challenge("negotiate", {}), Challenge("basic", {"realm": "plain"})]),
        (r'BASIC Realm = "a\"b" , Bearer realm=x', [Challenge("basic", {"realm": 'a"b'}), Challenge("bearer", {"realm": "x"})]),
        ("", []),
        (", ,", []),
        ('"', []),
        ('Basic realm="open', [Challenge("basic", {}), Challenge("realm", {})]),
    ],
)
def test_challenges(header: str, challenges: list[Challenge]) -> None:
    assert parse(header)[: len(challenges)] == challenges[: len(parse(header))]


def test_long_headers_end() -> None:
    assert len(parse("a=b," * 100_000 + "Basic ")) < 10
