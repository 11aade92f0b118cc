from pathlib import Path

import pytest

from rootless.errors import InvalidInput, RegistryError
from rootless.registry.configuration import Endpoint, Registries, load

DIGEST = "sha256:" + "0" * 64


class Files:
    def __init__(self, folder: Path) -> None:
        self.etc, self.home = folder / "etc", folder / "home"

    def write(self, path: str, text: str) -> None:
        where = {"etc": self.etc, "home": self.home / ".config"}[path.partition("/")[0]] / "containers" / path.partition("/")[2]
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_text(text)

    def load(self) -> Registries:
        return load({"HOME": str(self.home)}, str(self.etc))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def places(registries: Registries, repository: str, tag: str | None = "1", digest: str | None = None) -> list[str]:
    return [str(endpoint) for endpoint in registries.endpoints(repository, tag, digest)]


def test_without_files_names_are_docker_s(files: Files) -> None:
    registries = files.load()
    assert registries.repositories_of("alpine") == ["docker.io/library/alpine"]
    assert registries.repositories_of("user/app") == ["docker.io/user/app"]
    assert registries.endpoints("quay.io/a/b", "1", None) == [Endpoint("quay.io", "a/b", insecure=False)]


def test_the_user_s_file_replaces_the_system_s_and_drop_ins_override(files: Files) -> None:
    files.write("etc/registries.conf", 'unqualified-search-registries = ["system.example"]')
    assert files.load().repositories_of("x") == ["system.example/x"]
    files.write("home/registries.conf", 'unqualified-search-registries = ["a.example", "docker.io"]')
    assert files.load().repositories_of("x") == ["a.example/x", "docker.io/library/x"]
    files.write("etc/registries.conf.d/10.conf", '[aliases]\n"x" = "ten.example/x"\n"y" = "ten.example/y"')
    files.write("etc/registries.conf.d/20.conf", '[aliases]\n"x" = "twenty.example/z/x"')
    files.write("etc/registries.conf.d/30.txt", "not TOML = = =")
    assert files.load().repositories_of("x") == ["twenty.example/z/x"]
    files.write("home/registries.conf.d/00.conf", '[aliases]\n"y" = ""')
    assert files.load().repositories_of("y") == ["a.example/y", "docker.io/library/y"]


def test_mirrors_come_first_and_locations_replace_prefixes(files: Files) -> None:
    files.write(
        "etc/registries.conf",
        """
        [[registry]]
        prefix = "docker.io"
        location = "hub.example/proxy"
        [[registry.mirror]]
        location = "127.0.0.1:5000/mirror"
        insecure = true
        [[registry.mirror]]
        location = "digests.example"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example"
        pull-from-mirror = "tag-only"
        [[registry]]
        prefix = "docker.io/library/special"
        location = "special.example/one"
        """,
    )
    registries = files.load()
    by_tag = ["127.0.0.1:5000/mirror/library/a", "tags.example/library/a", "hub.example/proxy/library/a"]
    assert places(registries, "docker.io/library/a") == by_tag
    assert registries.endpoints("docker.io/library/a", "1", None)[0].insecure
    assert places(registries, "docker.io/library/a", None, DIGEST)[1] == "digests.example/library/a"
    assert places(registries, "docker.io/library/special") == ["special.example/one"]
    assert places(registries, "docker.io/library/specials")[-1] == "hub.example/proxy/library/specials"


def test_wildcards_match_subdomains(files: Files) -> None:
    files.write("etc/registries.conf", '[[registry]]\nprefix = "*.example.com"\ninsecure = true')
    registries = files.load()
    assert registries.endpoints("a.b.example.com:5000/x", "1", None) == [Endpoint("a.b.example.com:5000", "x", insecure=True)]
    assert not registries.endpoints("example.com/x", "1", None)[0].insecure


def test_blocked_registries_are_refused(files: Files) -> None:
    files.write("etc/registries.conf", '[[registry]]\nlocation = "bad.example/evil"\nblocked = true')
    assert places(files.load(), "bad.example/good") == ["bad.example/good"]
    with pytest.raises(RegistryError, match=r"blocks bad\.example/evil"):
        files.load().endpoints("bad.example/evil/x", "1", None)


@pytest.mark.parametrize(
    "text",
    [
        "x = = 1",
        "[registries.search]\nregistries = []",
        "[[registry]]\ninsecure = true",
        "[registry]\nlocation = 'a'",
        "unqualified-search-registries = 'a'",
        "[aliases]\na = 1",
        "[[registry]]\nlocation = 1",
        "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'often'",
    ],
)
def test_malformed_files_are_named(files: Files, text: str) -> None:
    files.write("home/registries.conf", text)
    with pytest.raises(InvalidInput, match=r"registries\.conf"):
        files.load()
