"""Asking the policy before an image comes in: nothing of it is downloaded but its manifest, and its signatures where they count."""

from collections.abc import Sequence

from rootless.images.reference import Reference
from rootless.images.trust.policy import Policy
from rootless.registry.session import Session


async def enforce(policy: Policy, name: Reference, digests: Sequence[str], sessions: Sequence[Session]) -> None:
    """Return where the policy lets in the image that has one of these digests.

    `digests` are that of the index, if it came from one, and the manifest's own; `sessions` are where to look for signatures,
    in this order. Raises `RefusedByPolicy`, `RegistryError`, `CorruptImage`.
    """
    requirements = policy.for_registry(name)
    if all(requirement.kind == "insecureAcceptAnything" for requirement in requirements):
        return
    from rootless.images.trust import attached, decision  # cryptography: 60 ms that most pulls need not pay

    found = []
    if any(requirement.kind == "sigstoreSigned" for requirement in requirements):
        for session in sessions:
            found = [evidence for digest in digests for evidence in await attached.fetch(session, digest)]
            if found:
                break
    decision.check(policy, requirements, name, digests, found)
