import base64
import json
from pathlib import Path

import pytest

from rootless.errors import InvalidInput
from rootless.registry.credentials import Credentials, find


def encoded(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_anonymous_without_files(tmp_path: Path) -> None:
    assert find("docker.io", "library/alpine", environ(tmp_path)) is None


def test_the_most_specific_key_wins_and_runtime_before_home(tmp_path: Path) -> None:
    write(tmp_path / "home/.docker/config.json", {"auths": {"a.example": encoded("docker:1"), "b.example": encoded("b:x:y")}})
    write(
        tmp_path / "run/containers/auth.json",
        {"auths": {"a.example": encoded("host:2"), "a.example/team": encoded("team:3"), "a.example/te": encoded("no:4")}},
    )
    assert find("a.example", "team/app", environ(tmp_path)) == Credentials("team", "3")
    assert find("a.example", "other", environ(tmp_path)) == Credentials("host", "2")
    assert find("b.example", "x", environ(tmp_path)) == Credentials("b", "x:y")
    assert find("c.example", "x", environ(tmp_path)) is None


def test_docker_hub_has_a_url_as_key(tmp_path: Path) -> None:
    write(tmp_path / "home/.docker/config.json", {"auths": {"https://index.docker.io/v1/": encoded("me:secret")}})
    assert find("docker.io", "library/alpine", environ(tmp_path)) == Credentials("me", "secret")


def test_identity_tokens_and_entries_of_helpers(tmp_path: Path) -> None:
    write(tmp_path / "home/.docker/config.json", {"auths": {"a.example": {"identitytoken": "abc"}, "b.example": {}}})
    assert find("a.example", "x", environ(tmp_path)) == Credentials("", "abc")
    assert find("b.example", "x", environ(tmp_path)) is None


@pytest.mark.parametrize(
    "content",
    ["{", "[]", {"auths": []}, {"auths": {"a.example": {"auth": "%%"}}}, {"auths": {"a.example": encoded("x")}}],
)
def test_malformed_files_are_named(tmp_path: Path, content: object) -> None:
    write(tmp_path / "home/.docker/config.json", content)
    with pytest.raises(InvalidInput, match=r"config\.json"):
        find("a.example", "x", environ(tmp_path))
