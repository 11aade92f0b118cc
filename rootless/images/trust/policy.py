"""policy.json: which images may come into the store (containers-policy.json(5)).

The user's ~/.config/containers/policy.json, or else /etc/containers/policy.json; without either everything may. For an image of a
registry the most specific scope counts: its name with the tag or digest, its repository, the folders above that, its registry,
`*.` and a domain above, the transport's default (""), the file's default. All requirements of a scope must be met.
"""

import base64
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, RefusedByPolicy, os_error_text
from rootless.images.reference import Reference
from rootless.images.reference import parse as parse_reference

_IDENTITIES: Final = frozenset(
    {"matchExact", "matchRepoDigestOrExact", "matchRepository", "exactReference", "exactRepository", "remapIdentity"}
)
# The fields that a signedIdentity of a type must have.
_IDENTITY_FIELDS: Final = {
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}
_KINDS: Final = frozenset({"insecureAcceptAnything", "reject", "signedBy", "sigstoreSigned"})


class Identity(NamedTuple):
    """A `signedIdentity`: which names a signature may be for; the fields are those of its type, else empty."""

    kind: str = "matchRepoDigestOrExact"
    reference: str = ""  # dockerReference or dockerRepository
    prefix: str = ""
    signed_prefix: str = ""


class Requirement(NamedTuple):
    """One requirement; `keys` are PEM public keys, of which one must have signed."""

    kind: str
    keys: tuple[bytes, ...] = ()
    identity: Identity = Identity()


class Policy(NamedTuple):
    """A policy file that was read; `path` is "" where there is none."""

    path: str
    default: tuple[Requirement, ...]
    transports: Mapping[str, Mapping[str, tuple[Requirement, ...]]]

    def for_registry(self, name: Reference) -> tuple[Requirement, ...]:
        """Return the requirements for an image of a registry."""
        return self._first("docker", _scopes(name))

    def for_path(self, transport: str, path: str) -> tuple[Requirement, ...]:
        """Return the requirements for an image in a file or folder: `oci`, `dir`, `docker-archive`, `oci-archive`."""
        parents = [path, *(path[:end] for end in range(len(path) - 1, 0, -1) if path[end] == "/")]
        return self._first(transport, iter(parents))

    def _first(self, transport: str, scopes: Iterator[str]) -> tuple[Requirement, ...]:
        known = self.transports.get(transport, {})
        return next((known[scope] for scope in (*scopes, "") if scope in known), self.default)


ANYTHING: Final = Policy("", (Requirement("insecureAcceptAnything"),), {})


def refused(policy: Policy, name: str, reason: str) -> RefusedByPolicy:
    """Return the error for an image that the policy does not let in."""
    hint = "containers-policy.json(5) tells what a policy may ask for"
    return RefusedByPolicy(f"the policy {policy.path} refuses {name}: {reason}", hint)


def enforce_unsigned(policy: Policy, transport: str, path: str) -> None:
    """Return where the policy lets in what lies in a file or folder, where no signature can be. Raises `RefusedByPolicy`."""
    for requirement in policy.for_path(transport, path):
        if requirement.kind != "insecureAcceptAnything":
            raise refused(policy, f"{transport}:{path}", f"it asks for {requirement.kind}, and a file or folder has no signatures")


def load(environ: Mapping[str, str], etc: str = "/etc") -> Policy:
    """Return the policy in force. Raises `InvalidInput` for one that cannot be read or understood: it may ask for more."""
    home = environ.get("HOME") or os.path.expanduser("~")
    for path in (f"{environ.get('XDG_CONFIG_HOME') or home + '/.config'}/containers/policy.json", f"{etc}/containers/policy.json"):
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"cannot read the policy: {os_error_text(error)}") from error
        return parse(content, path)
    return ANYTHING


def parse(content: bytes, path: str) -> Policy:
    """Return the policy that a file holds. Raises `InvalidInput` naming the part."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the policy {path} is not JSON: {error}") from None
    document = _object(document, path, "it", {"default", "transports"})
    if "default" not in document:
        raise InvalidInput(f"the policy {path} is malformed: it has no default")
    transports = {}
    for name, scopes in _object(document.get("transports", {}), path, "transports").items():
        entries = _object(scopes, path, f"transports.{name}")
        transports[name] = {scope: _requirements(one, path, f"transports.{name}.{scope}") for scope, one in entries.items()}
    return Policy(path, _requirements(document["default"], path, "default"), transports)


def _requirements(value: Any, path: str, where: str) -> tuple[Requirement, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"the policy {path} is malformed: {where} is not a list with a requirement")
    return tuple(_requirement(one, path, where) for one in value)


def _requirement(value: Any, path: str, where: str) -> Requirement:
    fields = _object(value, path, where)
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInput(f"the policy {path} is malformed: {where} has an unknown type {kind!r:.100}")
    if kind != "sigstoreSigned":
        return Requirement(kind)
    _object(value, path, where, {"type", "keyPath", "keyPaths", "keyData", "keyDatas", "signedIdentity"})
    keys = tuple(_keys(fields, path, where))
    if not keys:
        hint = "only keys are supported (keyPath, keyPaths, keyData), no fulcio and no PKI"
        raise InvalidInput(f"the policy {path}: {where} names no key", hint)
    return Requirement(kind, keys, _identity(fields.get("signedIdentity"), path, where))


def _keys(fields: Mapping[str, Any], path: str, where: str) -> Iterator[bytes]:
    for name in _texts(fields, "keyPath", path, where):
        try:
            with open(os.path.expanduser(name), "rb") as file:
                yield file.read(1 << 20)
        except OSError as error:
            raise InvalidInput(f"the policy {path}: cannot read a key of {where}: {os_error_text(error)}") from error
    for text in _texts(fields, "keyData", path, where):
        try:
            yield base64.b64decode(text, validate=True)
        except ValueError as error:  # not base64, or not even ASCII
            raise InvalidInput(f"the policy {path} is malformed: keyData of {where} is not base64") from error


def _texts(fields: Mapping[str, Any], key: str, path: str, where: str) -> list[str]:
    """Return the value of a key, and those of its plural."""
    several = fields.get(f"{key}s", [])
    texts = [*([fields[key]] if key in fields else []), *(several if isinstance(several, list) else [several])]
    if not isinstance(several, list) or not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise InvalidInput(f"the policy {path} is malformed: {key} of {where} is not text, or {key}s no list of texts")
    return texts


def _identity(value: Any, path: str, where: str) -> Identity:
    if value is None:
        return Identity()
    fields = _object(value, path, f"{where}.signedIdentity")
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in _IDENTITIES:
        raise InvalidInput(f"the policy {path} is malformed: {where} has an unknown signedIdentity {kind!r:.100}")
    needed = _IDENTITY_FIELDS.get(kind, ())
    for field in needed:
        if not isinstance(fields.get(field), str) or not fields[field]:
            raise InvalidInput(f"the policy {path} is malformed: the signedIdentity {kind} of {where} has no {field}")
    if kind == "remapIdentity":
        return Identity(kind, prefix=fields["prefix"], signed_prefix=fields["signedPrefix"])
    reference = fields[needed[0]] if needed else ""
    if needed:
        _check_name(reference, kind, path, where)
    return Identity(kind, reference)


def _check_name(name: str, kind: str, path: str, where: str) -> None:
    try:
        parse_reference(name)
    except InvalidInput as error:
        raise InvalidInput(f"the policy {path} is malformed: the signedIdentity {kind} of {where}: {error.message}") from error


def _object(value: Any, path: str, where: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"the policy {path} is malformed: {where} is not an object")
    unknown = set(value) - known if known is not None else set()
    if unknown:
        raise InvalidInput(f"the policy {path} is malformed: {where} has an unknown field {min(unknown)!r:.100}")
    return value


def _scopes(name: Reference) -> Iterator[str]:
    if name.digest is not None:
        yield f"{name.repository}@{name.digest}"
    if name.tag is not None:
        yield f"{name.repository}:{name.tag}"
    yield name.repository
    folder = name.repository
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        yield folder
    domain = folder.partition(":")[0]
    while "." in domain:
        domain = domain.partition(".")[2]
        yield f"*.{domain}"
