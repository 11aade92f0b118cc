"""Signing and verifying an image in its registry: `rl image sign`, `rl image verify`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import trio

from rootless.errors import CorruptImage, InvalidInput
from rootless.images import json_document, media_types, reference
from rootless.images.manifest import blob_of
from rootless.images.reference import Reference
from rootless.images.trust import attached, keys
from rootless.images.trust.claims import Claim, claim_of, digest_of, payload_of
from rootless.registry import configuration, credentials
from rootless.registry.client import fetch_manifest
from rootless.registry.connections import Connections
from rootless.registry.parallel import first_of
from rootless.registry.retry import Patience
from rootless.registry.session import Session, push_scopes

_ACCEPT: Final = (media_types.OCI_INDEX, media_types.DOCKER_LIST, media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST)


class Signed(NamedTuple):
    """A manifest that was signed, or whose signature was verified: its digest, and what the signature claims."""

    digest: str
    claim: Claim


def sign(
    name: str, private_key: bytes, passphrase: bytes | None, key_name: str, *, environ: Mapping[str, str], recursive: bool = False
) -> list[Signed]:
    """Sign the manifest that a registry has under `name`, with `recursive` those of an index, too; the signature goes beside it.

    Raises `InvalidInput`, `NoSuchObject`, `RegistryError`, `CorruptImage`.
    """
    key = keys.load_private(private_key, passphrase, key_name)
    wanted = reference.parse(name)

    async def run() -> list[Signed]:
        async with _session(wanted, environ, push=True) as session:
            document = await fetch_manifest(session, wanted.digest or str(wanted.tag), _ACCEPT)
            digest = _checked_digest(document.content, wanted)
            below = _listed(document.content) if recursive else []
            signed = []
            for one in (digest, *below):
                # A whole name with its tag: containers/image compares it, cosign does not.
                claim = Claim(wanted.repository if wanted.tag is None else f"{wanted.repository}:{wanted.tag}", one)
                payload = payload_of(claim)
                await attached.add(session, one, payload, keys.sign(key, payload))
                signed.append(Signed(one, claim))
            return signed

    return _run(run)


def verify(name: str, public_keys: Sequence[tuple[str, bytes]], *, environ: Mapping[str, str]) -> list[Signed]:
    """Return the claims about what a registry has under `name` that one of the keys (file name, PEM) has signed; never none.

    Raises `InvalidInput` where there are none, `NoSuchObject`, `RegistryError`, `CorruptImage`.
    """
    known = [keys.load_public(pem, key_name) for key_name, pem in public_keys]
    wanted = reference.parse(name)

    async def run() -> list[Signed]:
        async with _session(wanted, environ, push=False) as session:
            document = await fetch_manifest(session, wanted.digest or str(wanted.tag), _ACCEPT)
            digest = _checked_digest(document.content, wanted)
            found = await attached.fetch(session, digest)
            if not found:
                raise InvalidInput(f"{wanted.name} has no signatures", f"its digest is {digest}; sign it with rl image sign")
            ours = [one for one in found if any(keys.is_signed(key, one.payload, one.signature) for key in known)]
            claims = [claim for one in ours if (claim := claim_of(one.payload)).digest == digest and _is_about(claim, wanted)]
            if not claims:
                hint = "it was signed by others, or for another name or digest"
                raise InvalidInput(f"none of the {len(found)} signatures of {wanted.name} is by that key", hint)
            return [Signed(digest, claim) for claim in claims]

    return _run(run)


def _is_about(claim: Claim, wanted: Reference) -> bool:
    try:
        return reference.parse(claim.reference).repository == wanted.repository
    except InvalidInput:
        return False


def _run(work: Any) -> list[Signed]:
    try:
        result: list[Signed] = trio.run(work)
    except BaseExceptionGroup as group:
        raise first_of(group) from group
    return result


@asynccontextmanager
async def _session(wanted: Reference, environ: Mapping[str, str], *, push: bool) -> AsyncIterator[Session]:
    """Yield a session with the registry itself: signatures belong to the name, not to a mirror."""
    endpoint = configuration.load(environ, "/etc").endpoints(wanted.repository, wanted.tag, wanted.digest)[-1]
    found = credentials.find(endpoint.host, endpoint.path, environ)
    async with Connections(environ, Patience(), "/etc") as connections:
        yield Session(connections, endpoint, found, scopes=push_scopes(endpoint.path) if push else ())


def _checked_digest(content: bytes, wanted: Reference) -> str:
    digest = digest_of(content)
    if wanted.digest is not None and wanted.digest != digest:
        raise CorruptImage(f"the registry sent another manifest for {wanted.name}: {digest}")
    return digest


def _listed(content: bytes) -> list[str]:
    manifests = json_document.parse(content, "the image index").get("manifests")
    if not isinstance(manifests, list):
        return []
    return [blob_of(one, f"manifest {number} of the index").digest for number, one in enumerate(manifests, 1)]
