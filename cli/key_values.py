"""Options that are given as KEY=VALUE several times: labels, driver options."""

from collections.abc import Iterable

from rootless.errors import InvalidInput


def parse_labels(texts: Iterable[str]) -> dict[str, str]:
    """Return labels by name; one without `=` is empty, as in Docker. Raises `InvalidInput` for one without a name."""
    labels = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name.strip():
            raise InvalidInput(f"invalid label: {text!r}", "labels look like NAME=VALUE")
        labels[name] = value
    return labels


def parse_driver_options(texts: Iterable[str]) -> dict[str, str]:
    """Return driver options by name. Raises `InvalidInput` for one without `=`."""
    options = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"invalid driver option: {text!r}", "options look like NAME=VALUE")
        options[name] = value
    return options
