"""registries.conf, version 2 (containers-registries.conf(5)): where a repository really is, its mirrors, and short names.

The user's ~/.config/containers/registries.conf, or else /etc/containers/registries.conf; then the files of the folders
registries.conf.d beside both, the system's first, in alphabetical order, each overriding what came before.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, RegistryError, os_error_text

DEFAULT_REGISTRY: Final = "docker.io"
_PULL_FROM: Final = ("all", "digest-only", "tag-only")


class Endpoint(NamedTuple):
    """Where a repository can be had: `host` may have a port, `path` is the repository there.

    `insecure` permits plain HTTP and any certificate; `strict` forbids them on loopback, too, where they are usual.
    """

    host: str
    path: str
    insecure: bool
    strict: bool = False

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"


class Mirror(NamedTuple):
    """One mirror of a prefix: its location, and for which pulls it is used (`all`, `digest-only`, `tag-only`)."""

    location: str
    insecure: bool
    pull_from: str


class Rule(NamedTuple):
    """One [[registry]] table."""

    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[Mirror, ...]


class Registries(NamedTuple):
    """The configuration of all files together; `tls_verify` overrides what they say about TLS, see `Access`."""

    search: tuple[str, ...]
    aliases: Mapping[str, str]
    rules: tuple[Rule, ...]
    tls_verify: bool | None = None

    def repositories_of(self, short_name: str) -> list[str]:
        """Return the repositories that a short name without tag may mean, in the order to try them."""
        alias = self.aliases.get(short_name)
        if alias:
            return [alias]
        return [_in_registry(registry, short_name) for registry in self.search or (DEFAULT_REGISTRY,)]

    def endpoints(self, repository: str, tag: str | None, digest: str | None) -> list[Endpoint]:
        """Return where to get an image of a repository, mirrors first. Raises `RegistryError` where it is blocked."""
        rule = self._rule_for(repository, tag, digest)
        if rule is None:
            return [self._overridden(_endpoint(repository, insecure=False))]
        if rule.blocked:
            raise RegistryError(f"registries.conf blocks {rule.prefix}", f"{repository} cannot be pulled here")
        wanted = ("all", "digest-only") if digest else ("all", "tag-only")
        mirrors = [
            _endpoint(_moved(repository, rule.prefix, mirror.location), mirror.insecure)
            for mirror in rule.mirrors
            if mirror.pull_from in wanted
        ]
        registry = _endpoint(_moved(repository, rule.prefix, rule.location), rule.insecure)
        return [self._overridden(endpoint) for endpoint in (*mirrors, registry)]

    def registry_of(self, repository: str) -> Endpoint:
        """Return where a repository really is, which is where it is pushed to: never a mirror. Raises as `endpoints`."""
        return self.endpoints(repository, None, None)[-1]

    def _overridden(self, endpoint: Endpoint) -> Endpoint:
        if self.tls_verify is None:
            return endpoint
        return endpoint._replace(insecure=not self.tls_verify, strict=self.tls_verify)

    def _rule_for(self, repository: str, tag: str | None, digest: str | None) -> Rule | None:
        """Return the rule with the longest prefix that matches."""
        names = [repository, *([f"{repository}:{tag}"] if tag else []), *([f"{repository}@{digest}"] if digest else [])]
        matching = [rule for rule in self.rules if any(_matches(rule.prefix, name) for name in names)]
        return max(matching, key=lambda rule: len(rule.prefix), default=None)


def load(environ: Mapping[str, str], etc: str = "/etc") -> Registries:
    """Read all files. Raises `InvalidInput` that names the file and what is wrong in it."""
    home = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    user, system = f"{home}/containers/registries.conf", f"{etc}/containers/registries.conf"
    override = environ.get("CONTAINERS_REGISTRIES_CONF")
    main = override or (user if os.path.exists(user) else system)
    files = [main] if os.path.exists(main) else []
    if not override:
        files += [*_drop_ins(f"{system}.d"), *_drop_ins(f"{user}.d")]
    search: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    rules: dict[str, Rule] = {}
    for path in files:
        document = _read(path)
        search = tuple(_texts(document, "unqualified-search-registries", path)) or search
        aliases.update(_aliases(document, path))
        rules.update((rule.prefix, rule) for rule in _rules(document, path))
    return Registries(search, aliases, tuple(rules.values()))


def _drop_ins(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{folder}/{name}" for name in sorted(names) if name.endswith(".conf")]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise InvalidInput(f"cannot read registries: {os_error_text(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}") from error
    if "registries" in document:
        raise InvalidInput(f"{path} has the old version 1 form ([registries.search])", "write unqualified-search-registries = […]")
    return document


def _rules(document: dict[str, Any], path: str) -> Iterator[Rule]:
    for table in _tables(document, "registry", path):
        location = _text(table, "location", path)
        prefix = _text(table, "prefix", path) or location
        if not prefix or (not location and not prefix.startswith("*.")):
            raise InvalidInput(f"{path}: a [[registry]] has neither prefix nor location")
        digest_only = bool(table.get("mirror-by-digest-only", False))
        yield Rule(
            prefix.rstrip("/"),
            location.rstrip("/"),
            bool(table.get("insecure", False)),
            bool(table.get("blocked", False)),
            tuple(_mirror(mirror, digest_only, path) for mirror in _tables(table, "mirror", path)),
        )


def _mirror(table: dict[str, Any], digest_only: bool, path: str) -> Mirror:
    location = _text(table, "location", path)
    pull_from = _text(table, "pull-from-mirror", path) or ("digest-only" if digest_only else "all")
    if not location or pull_from not in _PULL_FROM:
        raise InvalidInput(f"{path}: a mirror has no location, or pull-from-mirror is not one of {', '.join(_PULL_FROM)}")
    return Mirror(location.rstrip("/"), bool(table.get("insecure", False)), pull_from)


def _aliases(document: dict[str, Any], path: str) -> dict[str, str]:
    aliases = document.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise InvalidInput(f"{path}: [aliases] must map names to names")
    return aliases


def _tables(document: dict[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    tables = document.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidInput(f"{path}: {key} must be written as [[{key}]]")
    return tables


def _texts(document: dict[str, Any], key: str, path: str) -> list[str]:
    texts = document.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput(f"{path}: {key} must be a list of names")
    return texts


def _text(table: dict[str, Any], key: str, path: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise InvalidInput(f"{path}: {key} must be text")
    return value


def _matches(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        return name.partition("/")[0].partition(":")[0].endswith(prefix[1:])
    return name == prefix or (name.startswith(prefix) and name[len(prefix)] in "/:@")


def _moved(repository: str, prefix: str, location: str) -> str:
    if not location:  # a wildcard prefix
        return repository
    if prefix.startswith("*."):
        return location + repository[repository.index("/") :]
    prefix = prefix if repository.startswith(prefix) else repository  # the prefix has a tag or digest: the whole name matched
    return location.partition("@")[0] + repository[len(prefix) :]


def _endpoint(repository: str, insecure: bool) -> Endpoint:
    host, _, path = repository.partition("/")
    return Endpoint(host, path, insecure)


def _in_registry(registry: str, short_name: str) -> str:
    official = registry == DEFAULT_REGISTRY and "/" not in short_name
    return f"{registry}/library/{short_name}" if official else f"{registry}/{short_name}"
