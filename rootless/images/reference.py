"""Names of images: the grammar of the distribution spec with Docker's rules for what may be left out.

    reference := [domain "/"] path [":" tag] ["@" digest]

Grammar: OCI distribution-spec "Pulling manifests" (path and tag) and the `reference` package of CNCF distribution
(domain). Docker's rules: the first component is a domain when it has a dot or a colon, is `localhost`, or has a capital
letter; else the domain is docker.io, whose single-component paths are under `library/`. The tag `latest` stands in
where neither tag nor digest is given.
"""

import re
from typing import Final, NamedTuple

from rootless.errors import InvalidInput

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_OFFICIAL: Final = "library/"
_MAX_NAME: Final = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH: Final = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}"
_ID: Final = r"(?:sha256:)?[0-9a-f]{1,64}"
_WHOLE_ID: Final = r"[0-9a-f]{64}"


class Reference(NamedTuple):
    """A whole name: `domain` may have a port; `tag` and `digest` may each be None, not both."""

    domain: str
    path: str
    tag: str | None
    digest: str | None

    @property
    def repository(self) -> str:
        """The name without tag and digest: `docker.io/library/alpine`."""
        return f"{self.domain}/{self.path}"

    @property
    def name(self) -> str:
        """The name that the store keeps: with the digest where there is one, else the tag."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def with_repository(self, repository: str) -> "Reference":
        """Return the same tag and digest in another repository (`domain/path`)."""
        domain, _, path = repository.partition("/")
        return Reference(domain, path, self.tag, self.digest)


def parse(text: str) -> Reference:
    """Return what `text` names by Docker's rules. Raises `InvalidInput` that quotes it and says what is wrong."""
    if len(text) == 64 and _matches(_WHOLE_ID, text):
        raise _invalid(text, "64 hexadecimal digits are an image's ID, not a name")
    remainder, digest = _split_digest(text)
    remainder, tag = _split_tag(remainder)
    domain, path = _split_domain(remainder)
    if domain != DEFAULT_DOMAIN and not _matches(_DOMAIN, domain):
        raise _invalid(text, f"{domain!r} is not a registry's name")
    if not _matches(_PATH, path):
        reason = "repository names are lower case" if path != path.lower() else f"{path!r} is not a repository's name"
        raise _invalid(text, reason)
    if tag is not None and not _matches(_TAG, tag):
        raise _invalid(text, f"{tag!r} is not a tag")
    if digest is not None and not is_digest(digest):
        raise _invalid(text, f"{digest!r} is not a digest (sha256:… with 64 hexadecimal digits)")
    if len(domain) + 1 + len(path) > _MAX_NAME:
        raise _invalid(text[:60] + "…", f"the name is longer than {_MAX_NAME} characters")
    return Reference(domain, path, tag if tag or digest else DEFAULT_TAG, digest)


def parse_new(text: str, what: str = "an image") -> Reference:
    """Return the name that is to be given to `what`, as `parse` does. Raises `InvalidInput` for one with a digest, too."""
    found = parse(text)
    if found.digest is not None:
        raise InvalidInput(f"cannot name {what} by a digest: {text!r}", "give NAME[:TAG]")
    return found


def is_short(text: str) -> bool:
    """Tell whether `text` names no registry, so that aliases and search registries apply."""
    return not _first_is_domain(_split_tag(_split_digest(text)[0])[0])


def has_tag(text: str) -> bool:
    """Tell whether a name gives a tag itself."""
    return _split_tag(_split_digest(text)[0])[1] is not None


def is_digest(text: str) -> bool:
    """Tell whether `text` is a digest of a registered algorithm that we verify (OCI image-spec, descriptor.md, "Digests")."""
    return _matches(_DIGEST, text)


def may_be_id(text: str) -> bool:
    """Tell whether `text` may be an image's ID or a prefix of one, with or without `sha256:`."""
    return _matches(_ID, text)


def familiar(repository: str) -> str:
    """Return a repository as Docker shows it: without `docker.io/library/` or `docker.io/`."""
    official = f"{DEFAULT_DOMAIN}/{_OFFICIAL}"
    if repository.startswith(official) and "/" not in repository[len(official) :]:
        return repository[len(official) :]
    shorter = repository.removeprefix(f"{DEFAULT_DOMAIN}/")
    # Without the domain, `docker.io/a.b/c` would read as another registry.
    return repository if _first_is_domain(shorter) or "/" not in shorter else shorter


def split_name(name: str) -> tuple[str, str | None, str | None]:
    """Split a whole name of the store into repository, tag and digest without checking it."""
    remainder, digest = _split_digest(name)
    repository, tag = _split_tag(remainder)
    return repository, tag, digest


def familiar_name(name: str) -> str:
    """Return a whole name (repository with tag or digest) as Docker shows it."""
    repository, tag, digest = split_name(name)
    return familiar(repository) + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")


def _matches(pattern: str, text: str) -> bool:
    """Match the whole text; compiled at the first use, because most commands need few of the patterns."""
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _split_digest(text: str) -> tuple[str, str | None]:
    remainder, at, digest = text.partition("@")
    return remainder, digest if at else None


def _split_tag(text: str) -> tuple[str, str | None]:
    colon = text.rfind(":")
    if colon > text.rfind("/"):  # a colon before a slash belongs to a port
        return text[:colon], text[colon + 1 :]
    return text, None


def _split_domain(text: str) -> tuple[str, str]:
    if not _first_is_domain(text):
        return DEFAULT_DOMAIN, text if "/" in text else _OFFICIAL + text
    domain, _, path = text.partition("/")
    if domain in {"docker.io", "index.docker.io", "registry-1.docker.io"}:
        return DEFAULT_DOMAIN, path if "/" in path else _OFFICIAL + path
    return domain, path


def _first_is_domain(text: str) -> bool:
    first, slash, _ = text.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())


def _invalid(text: str, reason: str) -> InvalidInput:
    return InvalidInput(f"invalid image name {text!r}: {reason}", "names look like [REGISTRY[:PORT]/]NAME[:TAG][@DIGEST]")
