"""`--filter` of `rl images` and the prune verbs: which images are meant. Loaded with the option only."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cli.durations import parse_rfc3339, parse_since
from cli.image_rows import ImageName
from rootless.durations import NANOSECONDS
from rootless.errors import InvalidInput, NoSuchObject
from rootless.images.listing import ListedImage, labels_of
from rootless.images.store import ImageStore

OF_IMAGES: Final = ("before", "dangling", "label", "label!", "reference", "since", "until")
OF_PRUNE: Final = ("label", "label!", "until")

_BOOLEANS: Final = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def parse_filters(texts: Iterable[str], known: Sequence[str]) -> dict[str, list[str]]:
    """Parse KEY=VALUE texts (and `label!=VALUE`) to values by key. Raises `InvalidInput`."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator:
            raise InvalidInput(f"invalid argument {text!r} for --filter: bad format of filter (expected name=value)")
        if key not in known:
            shown = ", ".join(key for key in known if not key.endswith("!"))
            raise InvalidInput(f"invalid filter {key!r}", f"known are {shown}")
        found.setdefault(key, []).append(value)
    return found


class ImageFilters:
    """Filters by key: values of one key are alternatives (labels must all hold), keys must all hold."""

    def __init__(self, wanted: dict[str, list[str]], store: ImageStore, images: Sequence[ListedImage]) -> None:
        """`images` are all images, among which `before` and `since` look. Raises `InvalidInput`, `NoSuchObject`."""
        self._store = store
        self._wanted = wanted
        self._dangling = {_boolean(text) for text in wanted.get("dangling", ())}
        now = time.time_ns()
        ends = [parse_since(text, now) for text in wanted.get("until", ())]
        ends += [_created(_find(store, images, name)) for name in wanted.get("before", ())]
        self._end = min(ends, default=None)
        self._begin = max((_created(_find(store, images, name)) for name in wanted.get("since", ())), default=None)

    def passes(self, image: ListedImage) -> bool:
        """Tell whether an image passes all filters but `reference`, which is about names."""
        if self._dangling and (not image.names) not in self._dangling:
            return False
        if self._end is not None and _created(image) >= self._end:
            return False
        if self._begin is not None and _created(image) <= self._begin:
            return False
        return self._labels_fit(image)

    def names_pass(self, name: ImageName) -> bool:
        """Tell whether a name fits one of the patterns of `reference`."""
        patterns = self._wanted.get("reference")
        return not patterns or any(fits_reference(pattern, name) for pattern in patterns)

    def _labels_fit(self, image: ListedImage) -> bool:
        wanted, unwanted = self._wanted.get("label", ()), self._wanted.get("label!", ())
        if not wanted and not unwanted:
            return True
        labels = labels_of(self._store, image)
        return all(has_label(labels, text) for text in wanted) and not any(has_label(labels, text) for text in unwanted)


def has_label(labels: dict[str, str], wanted: str) -> bool:
    """Tell whether labels have NAME, or NAME=VALUE."""
    name, separator, value = wanted.partition("=")
    return name in labels and (not separator or labels[name] == value)


def fits_reference(pattern: str, name: ImageName) -> bool:
    """Tell whether a pattern fits `repository:tag`, `repository@digest` or the repository alone (distribution, FamiliarMatch)."""
    fits = _glob(pattern)
    texts = (f"{name.repository}:{name.tag}", f"{name.repository}@{name.digest}", name.repository)
    return any(fits(text) for text in texts)


def _glob(pattern: str) -> Callable[[str], bool]:
    """Return the test for a pattern of Go's path.Match: `*`, `?`, `[a-z]`, `[^a]`, and a backslash; none matches a slash."""
    pieces = []
    for found in re.finditer(r"\\(.)|\[(\^?)([^]]+)\]|(\*)|(\?)|(.)", pattern, re.DOTALL):
        escaped, negation, characters, star, question, plain = found.groups()
        if plain and plain in "[\\":  # as Go's: a class without an end, or nothing after the backslash
            raise _bad_pattern(pattern, "syntax error in pattern")
        if characters:
            ranges = "".join(one if one == "-" else re.escape(one) for one in characters)
            pieces.append(f"(?!/)[{negation or ''}{ranges}]")
        else:
            pieces.append("[^/]*" if star else "[^/]" if question else re.escape(escaped or plain))
    try:
        compiled = re.compile("".join(pieces))
    except re.error as error:
        raise _bad_pattern(pattern, str(error)) from error
    return lambda text: compiled.fullmatch(text) is not None


def _bad_pattern(pattern: str, text: str) -> InvalidInput:
    return InvalidInput(f"invalid filter 'reference={pattern}': {text}", "patterns look like: alpine, repo/*, *:3.?")


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise InvalidInput(f"invalid filter 'dangling={text}'", "give true or false") from None


def _find(store: ImageStore, images: Sequence[ListedImage], name: str) -> ListedImage:
    descriptor = store.find_descriptor([entry for image in images for entry in image.entries], name)
    if descriptor is None:
        raise NoSuchObject(f"No such image: {name}", "`rl images` lists what there is")
    image_id = store.image_id(descriptor)
    return next(image for image in images if image.id == image_id)


def _created(image: ListedImage) -> int:
    """Return when an image was made, in nanoseconds since the epoch; one that does not say so is the oldest."""
    try:
        return parse_rfc3339(image.created)
    except ValueError:
        return -(1 << 62) + NANOSECONDS
