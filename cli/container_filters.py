"""`--filter` of `rl ps`: which containers are listed. Loaded with the option only."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rootless.containers.documents import Document
from rootless.errors import InvalidInput, NoSuchObject

_STATUSES: Final = ("created", "initialized", "restarting", "running", "removing", "paused", "exited", "dead")


class Filters:
    """Filters by key: values of one key are alternatives (labels must all hold), keys must all hold."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Parse KEY=VALUE texts. Raises `InvalidInput`."""
        self._wanted: dict[str, list[str]] = {}
        for text in texts:
            key, separator, value = text.partition("=")
            if not separator:
                raise InvalidInput(f"invalid argument {text!r} for --filter: bad format of filter (expected name=value)")
            if key not in (*_TESTS, "before", "since"):
                raise InvalidInput(f"invalid filter {key!r}", f"known are {', '.join(sorted((*_TESTS, 'before', 'since')))}")
            self._wanted.setdefault(key, []).append(value)
        for status in self._wanted.get("status", ()):
            if status not in _STATUSES:
                raise InvalidInput(f"invalid filter 'status={status}'", f"choose one of {', '.join(_STATUSES)}")

    @property
    def names_status(self) -> bool:
        """Whether a status is asked for, which lists containers that do not run, too."""
        return "status" in self._wanted

    def apply(self, documents: Sequence[Document]) -> list[Document]:
        """Return those of `documents` (all containers) that pass. Raises `NoSuchObject` for `before` or `since` of nothing."""
        after = max((_find(documents, name)["Created"] for name in self._wanted.get("since", ())), default="")
        before = min((_find(documents, name)["Created"] for name in self._wanted.get("before", ())), default="~")
        return [one for one in documents if after < one["Created"] < before and self._passes(one)]

    def _passes(self, document: Document) -> bool:
        return all(
            (all if key == "label" else any)(_TESTS[key](document, value) for value in values)
            for key, values in self._wanted.items()
            if key in _TESTS
        )


def _find(documents: Sequence[Document], name: str) -> Document:
    for document in documents:
        if document["Name"] == f"/{name}" or document["Id"].startswith(name):
            return document
    raise NoSuchObject(f"No such container: {name}", "rl ps -a lists all containers")


def _matches(text: str, pattern: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        raise InvalidInput(f"invalid filter {pattern!r}: {error}", "values of id and name are regular expressions") from error


def _has_label(document: Document, wanted: str) -> bool:
    name, separator, value = wanted.partition("=")
    labels = document["Config"].get("Labels") or {}
    return name in labels and (not separator or labels[name] == value)


def _comes_from(document: Document, image: str) -> bool:
    name = str(document["Config"].get("Image") or "")
    digest = document["Image"].removeprefix("sha256:")
    return image in (name, name.partition(":")[0]) or (bool(image) and digest.startswith(image.removeprefix("sha256:")))


def _exited_with(document: Document, code: str) -> bool:
    state = document["State"]
    return state["Status"] == "exited" and str(state["ExitCode"]) == code


def _has_health(document: Document, status: str) -> bool:
    state = document["State"]
    return (state["Health"]["Status"] if state["Running"] and "Health" in state else "none") == status


def _has_port(ports: Iterable[str], wanted: str) -> bool:
    """Tell whether one of `ports` (80/tcp) is in PORT or FIRST-LAST, with /PROTOCOL, tcp if that is left out."""
    numbers, _, protocol = wanted.partition("/")
    first, _, last = numbers.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()) or protocol not in ("", "tcp", "udp", "sctp"):
        raise InvalidInput(f"invalid port in filter: {wanted}", "give PORT or FIRST-LAST, with /tcp or /udp behind it")
    found = (port.partition("/") for port in ports)
    return any(int(first) <= int(number) <= int(last or first) and kind == (protocol or "tcp") for number, _, kind in found)


def _publishes(document: Document, wanted: str) -> bool:
    bindings = document["HostConfig"].get("PortBindings") or {}
    published = [
        f"{one['HostPort']}/{port.partition('/')[2]}"
        for port, ones in bindings.items()
        for one in ones or ()
        if one.get("HostPort", "").isdecimal()  # the port of a range is known when the container runs
    ]
    return _has_port([*bindings, *published], wanted)


def _is_in_pod(document: Document, value: str) -> bool:
    pod = document["Rl"].get("Pod")
    return pod is not None and bool(value) and (pod["Name"] == value or str(pod["Id"]).startswith(value))


def _is_task(_document: Document, value: str) -> bool:
    if value.lower() not in ("true", "1", "t", "false", "0", "f"):
        raise InvalidInput(f"invalid filter 'is-task={value}'", "choose true or false")
    return value.lower() in ("false", "0", "f")  # there is no swarm whose task a container could be


_TESTS: Final[dict[str, Callable[[Document, str], bool]]] = {
    "ancestor": _comes_from,
    "exited": _exited_with,
    "expose": lambda document, value: _has_port(document["Config"].get("ExposedPorts") or {}, value),
    "health": _has_health,
    "id": lambda document, value: _matches(document["Id"], f"^{value}"),
    "is-task": _is_task,
    "label": _has_label,
    "name": lambda document, value: _matches(document["Name"].lstrip("/"), value.lstrip("/")),
    "pod": _is_in_pod,
    "publish": _publishes,
    "restart-policy": lambda document, value: (document["HostConfig"].get("RestartPolicy") or {}).get("Name", "no") == value,
    "network": lambda document, value: document["HostConfig"].get("NetworkMode") == value,
    "volume": lambda document, value: any(value in (one.get("Name"), one["Destination"]) for one in document["Mounts"]),
    "status": lambda document, value: document["State"]["Status"] == value,
}
