import json
import os
from pathlib import Path

import pytest

from rootless.errors import InvalidInput
from rootless.registry import auth_files
from rootless.registry.auth_files import Credentials, changed, locations, normalised, read, to_write
from rootless.registry.authorization import wider_scopes
from rootless.registry.credential_helpers import get
from rootless.registry.login import parse_server
from rootless.registry.session import push_scopes


def test_a_file_is_replaced_whole_and_keeps_what_else_it_has(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    with changed(str(path)) as file:
        file.put("a.example", Credentials("me", "se:cret"))
        file.put("docker.io", Credentials("", "token"))
    assert path.stat().st_mode & 0o777 == 0o600
    kept = json.loads(path.read_text())
    assert kept["auths"][auth_files.DOCKER_KEY] == {"identitytoken": "token"}
    path.write_text(json.dumps({**kept, "psFormat": "x"}))
    with changed(str(path)) as file:
        assert file.entry("a.example") == Credentials("me", "se:cret")
        assert file.discard("docker.io")
        assert not file.discard("docker.io")
    assert json.loads(path.read_text()) == {"auths": {"a.example": kept["auths"]["a.example"]}, "psFormat": "x"}
    assert sorted(os.listdir(path.parent)) == ["config.json", "config.json.lock"]


def test_an_unchanged_file_is_not_written_and_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "auth.json"
    target.write_text('{"auths":{}}')
    link.symlink_to(target)
    before = target.stat().st_ino
    with changed(str(link)) as file:
        assert not file.discard("a.example")
    assert target.stat().st_ino == before
    with changed(str(link)) as file:
        file.put("a.example", Credentials("u", "p"))
    assert link.is_symlink()
    assert read(str(link)).entry("a.example") == Credentials("u", "p")


def test_a_failed_change_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text('{"auths":{}}')

    def change() -> None:
        with changed(str(path)) as file:
            file.put("a.example", Credentials("u", "p"))
            raise KeyError

    with pytest.raises(KeyError):
        change()
    assert path.read_text() == '{"auths":{}}'


def test_secrets_are_not_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text('{"auths": {"a": {"auth": "c2VjcmV0')
    with pytest.raises(InvalidInput) as failure:
        read(str(path))
    assert "c2VjcmV0" not in failure.value.message
    assert "secret" not in repr(Credentials("me", "secret"))


def test_which_files() -> None:
    home = {"HOME": "/h"}
    assert locations(home) == ["/h/.config/containers/auth.json", "/h/.docker/config.json"]
    assert to_write({**home, "XDG_RUNTIME_DIR": "/run/u"}) == "/run/u/containers/auth.json"
    assert to_write({**home, "XDG_RUNTIME_DIR": "/run/u", "DOCKER_CONFIG": "/d"}) == "/d/config.json"
    assert locations({**home, "REGISTRY_AUTH_FILE": "/f", "DOCKER_CONFIG": "/d"}) == ["/f"]


@pytest.mark.parametrize(
    ("key", "plain"),
    [
        ("https://index.docker.io/v1/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("https://a.example:5000/v2/", "a.example:5000"),
        ("http://a.example", "a.example"),
        ("a.example/team", "a.example/team"),
    ],
)
def test_keys(key: str, plain: str) -> None:
    assert normalised(key) == plain
    assert parse_server(key).key == plain


@pytest.mark.parametrize("text", ["", "a b", "-x", "a.example/../b", "a.example/UPPER", "user@a.example", "a:port"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_server(text)


@pytest.mark.parametrize("name", ["../x", "a/b", "-x", ""])
def test_what_is_no_helper(name: str) -> None:
    with pytest.raises(InvalidInput, match="credential helper"):
        get(name, "a.example", {})


def test_scopes() -> None:
    pushing = push_scopes("a", ["b", "a"])
    assert pushing == ("repository:a:pull,push", "repository:b:pull")
    assert wider_scopes("repository:a:pull", pushing) == [*pushing]
    assert wider_scopes("repository:a:delete registry:catalog:*", pushing) == [
        *pushing,
        "repository:a:delete",
        "registry:catalog:*",
    ]
    assert wider_scopes("repository:a:pull", ()) == ["repository:a:pull"]
