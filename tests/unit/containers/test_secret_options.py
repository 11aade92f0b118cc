"""What `--secret` means."""

import pytest

from rootless.containers.secret_options import SecretRequest, parse_secret
from rootless.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("key", SecretRequest("key", "mount", "/run/secrets/key")),
        ("source=key,target=other", SecretRequest("key", "mount", "/run/secrets/other")),
        ("key,target=/etc/key,uid=5,gid=6,mode=0400", SecretRequest("key", "mount", "/etc/key", 5, 6, 0o400)),
        ("key,type=env", SecretRequest("key", "env", "key")),
        ("key,type=env,target=KEY", SecretRequest("key", "env", "KEY")),
    ],
)
def test_secrets(text: str, request_: SecretRequest) -> None:
    assert parse_secret(text) == request_


@pytest.mark.parametrize(
    "text",
    [
        "",
        "type=env",
        "key,odd=1",
        "key,type=odd",
        "key,mode=9",
        "key,uid=-1",
        "key,type=env,uid=1",
        "key,target=../x",
        "key,target=/",
        "a,b",
    ],
)
def test_malformed_secrets(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid secret"):
        parse_secret(text)
