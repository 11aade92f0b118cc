"""What `rl volume ls` and `rl system df -v` show of a volume, and which ones `--filter` means."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cli.sizes import human_size
from rootless.errors import InvalidInput
from rootless.storage.volumes import DRIVER, Volume

HEADERS: Final = {
    "Availability": "AVAILABILITY",
    "Driver": "DRIVER",
    "Group": "GROUP",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Mountpoint": "MOUNTPOINT",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Size": "SIZE",
    "Status": "STATUS",
}
COLUMNS: Final = ("Driver", "Name")

_BOOLEANS: Final = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def row_of(volume: Volume, links: int | None = None, size: int | None = None) -> dict[str, Any]:
    """Return the fields of Docker's formatter; `links` and `size` (bytes) are known to `system df` only."""
    return {
        "Availability": "N/A",
        "Driver": DRIVER,
        "Group": "N/A",
        "Label": lambda name: volume.labels.get(name, ""),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(volume.labels.items())),
        "Links": "N/A" if links is None else str(links),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": DRIVER,
        "Size": "N/A" if size is None else human_size(size),
        "Status": "N/A",
    }


class VolumeFilters:
    """Filters by key: values of one key are alternatives (labels must all hold), keys must all hold."""

    def __init__(self, wanted: Mapping[str, Sequence[str]], users_of: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        """`users_of` is called where a filter asks who uses volumes. Raises `InvalidInput`."""
        self._wanted = wanted
        self._dangling = {parse_boolean("dangling", text) for text in wanted.get("dangling", ())}
        self._used = set(users_of()) if self._dangling else set()

    def passes(self, volume: Volume) -> bool:
        """Tell whether a volume passes all filters."""
        if self._dangling and (volume.name not in self._used) not in self._dangling:
            return False
        if not _any_matches(self._wanted.get("name", ()), volume.name):
            return False
        if any(key in self._wanted and DRIVER not in self._wanted[key] for key in ("driver", "scope")):
            return False
        return labels_fit(volume.labels, self._wanted)


def labels_fit(labels: Mapping[str, str], wanted: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether labels have all that `label` asks for, and none that `label!` does."""
    return all(_has_label(labels, text) for text in wanted.get("label", ())) and not any(
        _has_label(labels, text) for text in wanted.get("label!", ())
    )


def parse_boolean(key: str, text: str) -> bool:
    """Return the value of a filter that is true or false. Raises `InvalidInput`."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise InvalidInput(f"invalid filter '{key}={text}'", "give true or false") from None


def _any_matches(patterns: Iterable[str], name: str) -> bool:
    found = None
    for pattern in patterns:
        try:
            found = re.search(pattern, name) is not None
        except re.error as error:
            raise InvalidInput(f"invalid filter 'name={pattern}': {error}", "values are regular expressions") from error
        if found:
            return True
    return found is None


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, separator, value = wanted.partition("=")
    return name in labels and (not separator or labels[name] == value)
