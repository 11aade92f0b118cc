"""Asking the policy before an image comes in: nothing of it is downloaded but its manifest, and its signatures where they count."""

from collections.abc import Sequence

from rootless.errors import CorruptImage, RefusedByPolicy, RegistryError, RlError
from rootless.images.reference import Reference
from rootless.images.trust.policy import Policy
from rootless.registry.session import Session


async def enforce(policy: Policy, name: Reference, digests: Sequence[str], sessions: Sequence[Session]) -> None:
    """Return where the policy lets in the image that has one of these digests.

    `digests` are that of the index, if it came from one, and the manifest's own; `sessions` are where to look for signatures,
    in this order; one that fails does not matter as long as another has what is asked for. Raises `RefusedByPolicy`.
    """
    requirements = policy.for_registry(name)
    if all(requirement.kind == "insecureAcceptAnything" for requirement in requirements):
        return
    from rootless.images.trust import attached, decision  # cryptography: 60 ms that most pulls need not pay

    found: list[decision.Evidence] = []
    failures: list[RlError] = []
    if any(requirement.kind == "sigstoreSigned" for requirement in requirements):
        for session in sessions:
            try:
                found += [evidence for digest in digests for evidence in await attached.fetch(session, digest)]
                decision.check(policy, requirements, name, digests, found)
            except RefusedByPolicy:  # the next place may have the right signature: a mirror often has none
                continue
            except (RegistryError, CorruptImage) as error:
                failures.append(error)
            else:
                return
    try:
        decision.check(policy, requirements, name, digests, found)
    except RefusedByPolicy as refusal:
        if not failures:
            raise
        raise RefusedByPolicy(f"{refusal.message} (and: {failures[-1].message})", refusal.hint) from failures[-1]
