"""`--filter` of `rl events`, with the meaning that Docker gives each key (daemon/events/filter.go)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rootless.errors import InvalidInput

Event = Mapping[str, Any]


class EventFilters:
    """Filters by key: values of one key are alternatives (labels must all hold), keys must all hold."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse KEY=VALUE texts. Raises `InvalidInput`."""
        self._wanted: dict[str, list[str]] = {}
        for text in texts:
            key, separator, value = text.partition("=")
            if not separator:
                raise InvalidInput(f"invalid argument {text!r} for --filter: bad format of filter (expected name=value)")
            if key not in _TESTS:
                raise InvalidInput(f"invalid filter {key!r}", f"known are {', '.join(sorted(_TESTS))}")
            self._wanted.setdefault(key, []).append(value)

    def passes(self, event: Event) -> bool:
        """Tell whether an event is wanted."""
        return all(
            (all if key == "label" else any)(_TESTS[key](event, value) for value in values) for key, values in self._wanted.items()
        )


def _attributes(event: Event) -> Mapping[str, str]:
    attributes: Mapping[str, str] = event["Actor"]["Attributes"]
    return attributes


def _is_object(kind: str) -> Callable[[Event, str], bool]:
    """Return a test for events of one object: by its name, or the beginning of its name or ID."""

    def test(event: Event, value: str) -> bool:
        names = (event["Actor"]["ID"], _attributes(event).get("name", ""))
        return event["Type"] == kind and any(name.startswith(value) for name in names)

    return test


def _without_tag(name: str) -> str:
    head, separator, tag = name.rpartition(":")
    return head if separator and "/" not in tag else name


def _concerns_image(event: Event, value: str) -> bool:
    attributes = _attributes(event)
    name = attributes.get("name" if event["Type"] == "image" else "image", "")
    identity = event["Actor"]["ID"] if event["Type"] == "image" else ""
    return value in (identity, identity.removeprefix("sha256:"), name, _without_tag(name))


def _has_action(event: Event, value: str) -> bool:
    """`exec_start` is any `exec_start: …`, and `health_status` any `health_status: …`."""
    return value in (event["Action"], event["Action"].partition(":")[0])


def _has_label(event: Event, value: str) -> bool:
    name, separator, wanted = value.partition("=")
    attributes = _attributes(event)
    return name in attributes and (not separator or attributes[name] == wanted)


_TESTS: Final[Mapping[str, Callable[[Event, str], bool]]] = {
    "container": _is_object("container"),
    "event": _has_action,
    "image": _concerns_image,
    "label": _has_label,
    "network": _is_object("network"),
    "scope": lambda _event, value: value == "local",
    "secret": _is_object("secret"),
    "type": lambda event, value: bool(event["Type"] == value),
    "volume": _is_object("volume"),
}
