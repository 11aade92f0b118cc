"""Other ID maps than the default one: what the options ask for, and the lines for a child of the parent namespace P.

All numbers on P's side are P's own: 0 is the user, 1 and up the subordinate IDs (as Podman's intermediate IDs are).

    keep-id[:uid=U,gid=G]       the user is U inside, all others follow in their order
    nomap                       0 is P's 1, and so on: the user is nobody inside
    auto[:size=N,…]             IDs that no other such container has: lines as below, chosen when the container is made
    --uidmap INSIDE:P'S:LENGTH  as given, several times; a missing map is the other one's
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rootless.errors import InvalidInput, NodeLacks
from rootless.namespaces.idmap import NOMAP, IdMaps, MapLine, is_auto, keeps_id

MOST_LINES: Final = 340  # user_namespaces(7)
_KEYS: Final = ("uid", "gid", "size")
_MOST_IDS: Final = 1 << 32


class Auto(NamedTuple):
    """What `auto` asks for: how many IDs (None: as many as the image needs), some of them mapped in a certain way."""

    size: int | None
    uids: tuple[MapLine, ...]
    gids: tuple[MapLine, ...]


def check_mode(text: str) -> None:
    """Raise `InvalidInput` for a mode of `--userns` that is malformed."""
    if keeps_id(text):
        parse_keep_id(text)
    elif is_auto(text):
        parse_auto(text)
    elif text != NOMAP:
        raise InvalidInput(f"--userns {text}: nomap takes no options", "leave them out")


def parse_keep_id(text: str) -> dict[str, int]:
    """Return the numbers of `keep-id:uid=U,gid=G,size=N`, by name. Raises `InvalidInput`."""
    found = {}
    for part, name, value in _options_of(text):
        if name not in _KEYS or not value.isdecimal():
            raise InvalidInput(f"--userns {text}: unknown option {part!r}", f"keep-id takes {'=N, '.join(_KEYS)}=N")
        found[name] = int(value)
    return found


def parse_auto(text: str) -> Auto:
    """Return what `auto:size=N,uidmapping=INSIDE:P'S:LENGTH,gidmapping=…` says; a map may come in parts. Raises `InvalidInput`."""
    size, uids, gids = None, [], []
    for part, name, value in _options_of(text):
        if name == "size" and value.isdecimal() and 0 < int(value) <= _MOST_IDS:
            size = int(value)
        elif name == "uidmapping":
            uids.append(value)
        elif name == "gidmapping":
            gids.append(value)
        else:
            hint = "auto takes size=N, uidmapping=INSIDE:OUTSIDE:LENGTH, gidmapping=INSIDE:OUTSIDE:LENGTH"
            raise InvalidInput(f"--userns {text}: unknown option {part!r}", hint)
    return Auto(size, _parse_lines("uidmapping", uids), _parse_lines("gidmapping", gids))


def _options_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield each option after a mode, whole, and its name and value."""
    for part in text.partition(":")[2].split(","):
        if part:
            name, _separator, value = part.partition("=")
            yield part, name, value


def keep_id(parent: IdMaps, user: int, group: int, size: int | None = None) -> IdMaps:
    """Return the maps in which P's 0 is `user` and `group`. Raises `NodeLacks` where P has one ID only, and not that."""
    return IdMaps(_with_own_at(parent.uids, user, size), _with_own_at(parent.gids, group, size))


def _with_own_at(lines: Sequence[MapLine], own: int, size: int | None) -> tuple[MapLine, ...]:
    count = sum(line.length for line in lines)
    last = count if size is None else min(size, count)  # the first ID inside that there is not
    below = min(own, last - (own >= last))
    wanted = [MapLine(0, 1, below), MapLine(own, 0, 1), MapLine(own + 1, below + 1, max(last - own - 1, 0))]
    return split(wanted, lines)


def parse_map(option: str, texts: Iterable[str]) -> tuple[MapLine, ...]:
    """Return the lines that INSIDE:P'S[:LENGTH] ask for; the container's root is in them.

    Raises `InvalidInput` for malformed and for overlapping ones.
    """
    found = _parse_lines(option, texts)
    if not any(line.inside == 0 for line in found):
        raise InvalidInput(f"{option}: the container's root, inside 0, is not mapped", f"add {option} 0:OUTSIDE, for example 0:1")
    return found


def _parse_lines(option: str, texts: Iterable[str]) -> tuple[MapLine, ...]:
    found: list[MapLine] = []
    for text in texts:
        fields = text.split(":")
        if len(fields) not in (2, 3) or not all(field.isdecimal() for field in fields):
            raise InvalidInput(f"{option}: {text!r} is not INSIDE:OUTSIDE[:LENGTH]", "for example 0:1:1000")
        line = MapLine(int(fields[0]), int(fields[1]), int(fields[2]) if len(fields) == 3 else 1)
        if line.length == 0 or max(line.inside, line.outside) + line.length > 1 << 32:
            raise InvalidInput(f"{option}: {text!r} has no IDs that exist", "give numbers below 4294967295, and a length")
        for other in found:
            if _overlap(line[0], other[0], line, other) or _overlap(line[1], other[1], line, other):
                raise InvalidInput(f"{option}: {text!r} overlaps with another map", "an ID can be mapped once only")
        found.append(line)
    if len(found) > MOST_LINES:
        raise InvalidInput(f"{option}: {len(found)} maps", f"the kernel takes {MOST_LINES}")
    return tuple(found)


def _overlap(first: int, second: int, line: MapLine, other: MapLine) -> bool:
    return first < second + other.length and second < first + line.length


def split(wanted: Iterable[MapLine], parent: Sequence[MapLine]) -> tuple[MapLine, ...]:
    """Return lines of which each is in one line of the parent's map, as the kernel wants them; those of no length are left out.

    `parent` is P's map. Raises `NodeLacks` for IDs that P does not have.
    """
    found: list[MapLine] = []
    for line in wanted:
        left = line
        while left.length:
            piece = _first_piece(left, parent)
            found.append(piece)
            left = MapLine(left.inside + piece.length, left.outside + piece.length, left.length - piece.length)
    return tuple(found)


def _first_piece(line: MapLine, parent: Sequence[MapLine]) -> MapLine:
    for own in parent:
        if own.inside <= line.outside < own.inside + own.length:
            return line._replace(length=min(line.length, own.inside + own.length - line.outside))
    raise NodeLacks(
        f"the ID {line.outside} cannot be mapped: you have {sum(own.length for own in parent)} IDs, your own as 0 included",
        "ask the administrator for more subordinate IDs: usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST NAME",
    )


def of_document(host_config: Mapping[str, object], parent: IdMaps, user: int, group: int) -> IdMaps | None:
    """Return the maps that a container's HostConfig asks for; None for the default ones.

    `user` and `group` are the caller's own on the node, which keep-id keeps. Raises `NodeLacks`.
    """
    mode = str(host_config.get("UsernsMode") or "")
    if keeps_id(mode):
        asked = parse_keep_id(mode)
        return keep_id(parent, asked.get("uid", user), asked.get("gid", group), asked.get("size"))
    if mode == NOMAP:
        return IdMaps(_without_own(parent.uids), _without_own(parent.gids))
    wanted = _given_lines(host_config)
    return None if wanted is None else IdMaps(split(wanted.uids, parent.uids), split(wanted.gids, parent.gids))


def have_user(host_config: Mapping[str, object]) -> bool:
    """Tell whether the maps that a HostConfig asks for have the user's own IDs; only then root has power over the user's files."""
    wanted = _given_lines(host_config)
    if wanted is None:
        return host_config.get("UsernsMode") != NOMAP
    return all(any(line.outside == 0 for line in lines) for lines in wanted)


def _given_lines(host_config: Mapping[str, object]) -> IdMaps | None:
    mappings = host_config.get("IDMappings")
    if not isinstance(mappings, dict):
        return None
    return IdMaps(*(parse_map(f"--{kind.lower()}", mappings[kind]) for kind in ("UidMap", "GidMap")))


def _without_own(lines: Sequence[MapLine]) -> tuple[MapLine, ...]:
    count = sum(line.length for line in lines)
    if count == 1:
        raise NodeLacks(
            "--userns nomap needs subordinate IDs, and you have none: your own ID is all that there is",
            "ask the administrator for: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME",
        )
    return split([MapLine(0, 1, count - 1)], lines)
