"""The host name of a container: what `--hostname` takes."""

from rootless.errors import InvalidInput

_MAX_HOSTNAME = 64  # sethostname(2), HOST_NAME_MAX
_LABEL_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def check_hostname(name: str) -> None:
    """Raise `InvalidInput` unless `name` is a host name: RFC 1123 labels, and no longer than the kernel takes."""
    labels = name.removesuffix(".").split(".")
    if len(name) > _MAX_HOSTNAME or not all(_is_label(label) for label in labels):
        raise InvalidInput(
            f"invalid hostname: {name[:100]!r}",
            f"give letters, digits and hyphens, in parts between dots, {_MAX_HOSTNAME} characters at most",
        )


def _is_label(text: str) -> bool:
    return bool(text) and set(text) <= _LABEL_CHARACTERS and not text.startswith("-") and not text.endswith("-")
