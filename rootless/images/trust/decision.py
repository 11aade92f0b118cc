"""Whether what lies beside an image meets what the policy asks for. No I/O."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from rootless.errors import CorruptImage, InvalidInput
from rootless.images import reference
from rootless.images.reference import Reference
from rootless.images.trust import keys
from rootless.images.trust.claims import Claim, claim_of
from rootless.images.trust.policy import Identity, Policy, Requirement, refused


class Evidence(NamedTuple):
    """A signature with its payload's bytes."""

    payload: bytes
    signature: bytes


def check(
    policy: Policy, requirements: Sequence[Requirement], name: Reference, digests: Collection[str], found: Sequence[Evidence]
) -> None:
    """Return where all requirements are met for the image with one of `digests` (an index's, the manifest's own).

    Raises `RefusedByPolicy` that says which is not.
    """
    for requirement in requirements:
        reason = _why_not(requirement, name, digests, found)
        if reason is not None:
            raise refused(policy, name.name, reason)


def _why_not(requirement: Requirement, name: Reference, digests: Collection[str], found: Sequence[Evidence]) -> str | None:
    if requirement.kind == "insecureAcceptAnything":
        return None
    if requirement.kind == "reject":
        return "images from there are rejected"
    if requirement.kind == "signedBy":
        return "it asks for a GPG signature (signedBy), which rl cannot verify; use sigstoreSigned"
    if not found:
        return "a signature was required, but the image has none"
    public = [keys.load_public(pem, "of the policy") for pem in requirement.keys]
    reasons = []
    for evidence in found:
        if not any(keys.is_signed(key, evidence.payload, evidence.signature) for key in public):
            reasons.append("no key of the policy made its signature")
            continue
        reason = _misfit(claim_of(evidence.payload), requirement.identity, name, digests)
        if reason is None:
            return None
        reasons.append(reason)
    return "; ".join(dict.fromkeys(reasons))


def _misfit(claim: Claim, identity: Identity, name: Reference, digests: Collection[str]) -> str | None:
    """Return why a claim that a trusted key has signed is about something else, or None."""
    if claim.digest not in digests:
        return f"its signature is for {claim.digest}"
    try:
        fits = _fits(claim, identity, name)
    except InvalidInput as error:
        raise CorruptImage(f"a signature of {name.name} names {claim.reference!r:.200}: {error.message}") from error
    return None if fits else f"its signature is for the name {claim.reference!r:.200}"


def _fits(claim: Claim, identity: Identity, name: Reference) -> bool:
    """Tell whether the signed name is one that the identity allows (containers-policy.json(5), signedIdentity)."""
    signed = reference.parse(claim.reference)
    tagged = reference.has_tag(claim.reference) or signed.digest is not None
    if identity.kind == "exactReference":
        return tagged and signed == reference.parse(identity.reference)
    if identity.kind == "exactRepository":
        return signed.repository == reference.parse(identity.reference).repository
    if identity.kind == "remapIdentity":
        name = _remapped(name, identity)
    if identity.kind == "matchRepository":
        return signed.repository == name.repository
    if name.digest is not None and identity.kind != "matchExact":
        return signed.repository == name.repository
    return tagged and (signed.repository, signed.tag, signed.digest) == (name.repository, name.tag, name.digest)


def _remapped(name: Reference, identity: Identity) -> Reference:
    repository = name.repository
    if repository == identity.prefix or repository.startswith(f"{identity.prefix}/"):
        return name.with_repository(identity.signed_prefix + repository[len(identity.prefix) :])
    return name
