"""What a registry's refusal means for the user, in words: by method and status, and by the error's own text."""

import json
from typing import Final

from rootless.errors import NoSuchObject, RegistryError, RlError
from rootless.registry.configuration import Endpoint

_MAX_DETAIL: Final = 300

_CLIENT_CERTIFICATE: Final = "it wants a client certificate: put NAME.cert and NAME.key into ~/.config/containers/certs.d/{host}"

# What OpenSSL and others say -> what the user can do.
_HINTS: Final = {
    "certificate verify failed": "put its authority's certificate into ~/.config/containers/certs.d/{host}/ca.crt",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: if that is meant, set insecure = true for it in registries.conf",
    "CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "certificate required": _CLIENT_CERTIFICATE,
    "BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
}


def refusal(endpoint: Endpoint, method: str, target: str, status: int, said: str) -> RlError:
    """Return the error for a status that nothing will change; `said` is the status with the registry's own words."""
    if status in {401, 403}:
        verb = "pull" if method == "GET" else "push"  # HEAD asks before an upload
        return RegistryError(
            f"{verb} access denied for {endpoint if endpoint.path else endpoint.host}: {said}",
            f"the repository does not exist, or needs a log-in: rl login {endpoint.host}",
        )
    if method not in {"GET", "HEAD"}:
        return RegistryError(f"{endpoint} refuses the push: {said}")
    if status == 404:
        kind, _, name = target.partition("/")
        if not endpoint.path or not name:
            return NoSuchObject(f"{endpoint.host} has no {target}: {said}", "check the registry's name")
        shown = f"{kind.removesuffix('s')} {name} of {endpoint}"
        return NoSuchObject(f"{shown} not found: {said}", "check the name and the tag")
    return RegistryError(f"{endpoint.host} answers {said}")


def unreachable(host: str, error: Exception, what: str = "registry") -> tuple[RegistryError, bool]:
    """Return the error for a request that got no answer, and whether it is one that will not pass by itself.

    `what` the host is, for the message.
    """
    reason = _reason(error)
    lasting = next((hint for sign, hint in _HINTS.items() if sign in reason), None)
    hint = lasting or "check the name, the network, and that the registry is up"
    return RegistryError(f"cannot reach the {what} {host}: {reason}", hint.format(host=host)), lasting is not None


def detail(content: bytes) -> str:
    """Return the messages of an error body (distribution-spec, "Error Codes"), or nothing where it is something else."""
    try:
        errors = json.loads(content)["errors"]
        messages = [str(error.get("message") or error.get("code")) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    text = "; ".join(messages)[:_MAX_DETAIL]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _reason(error: BaseException) -> str:
    """Return the text of the innermost cause that has one: httpx and httpcore often leave theirs empty."""
    reason = ""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):  # trio's: one error an address that was tried
            seen = seen.exceptions[0]
        reason = (seen.strerror if isinstance(seen, OSError) else None) or str(seen) or reason
        seen = seen.__cause__ or seen.__context__
    return reason or type(error).__name__
