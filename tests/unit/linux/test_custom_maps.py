"""Other ID maps: what the options mean, as lines that the kernel takes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import InvalidInput, NodeLacks
from rootless.namespaces.custom_maps import check_mode, have_user, keep_id, of_document, parse_auto, parse_keep_id, parse_map, split
from rootless.namespaces.idmap import IdMaps, MapLine

PARENT = (MapLine(0, 1000, 1), MapLine(1, 100000, 65536))
BOTH = IdMaps(PARENT, PARENT)


def test_keep_id_puts_the_user_in_its_place_and_the_others_around() -> None:
    maps = keep_id(BOTH, 1000, 100)
    assert maps.uids == (MapLine(0, 1, 1000), MapLine(1000, 0, 1), MapLine(1001, 1001, 64536))
    assert maps.gids == (MapLine(0, 1, 100), MapLine(100, 0, 1), MapLine(101, 101, 65436))


@pytest.mark.parametrize(
    ("own", "size", "lines"),
    [
        (0, None, (MapLine(0, 0, 1), MapLine(1, 1, 65536))),
        (70000, None, (MapLine(0, 1, 65536), MapLine(70000, 0, 1))),
        (65536, None, (MapLine(0, 1, 65536), MapLine(65536, 0, 1))),
        (1000, 2000, (MapLine(0, 1, 1000), MapLine(1000, 0, 1), MapLine(1001, 1001, 999))),
    ],
)
def test_keep_id_at_the_edges(own: int, size: int | None, lines: tuple[MapLine, ...]) -> None:
    assert keep_id(BOTH, own, own, size).uids == lines


@given(st.integers(0, 70000), st.integers(1, 70000), st.integers(1, 70000))
def test_keep_id_maps_each_id_once_and_none_that_there_is_not(own: int, first: int, second: int) -> None:
    parent = (MapLine(0, 1000, 1), MapLine(1, 100000, first), MapLine(1 + first, 900000, second))
    lines = keep_id(IdMaps(parent, parent), own, own).uids
    inside = sorted((line.inside, line.inside + line.length) for line in lines)
    outside = sorted((line.outside, line.outside + line.length) for line in lines)
    for ranges in (inside, outside):
        assert all(end <= begin for (_begin, end), (begin, _end) in itertools.pairwise(ranges))
    assert sum(line.length for line in lines) == 1 + first + second
    assert MapLine(own, 0, 1) in lines
    for line in lines:  # the kernel refuses one that is in two of the parent's
        assert any(one.inside <= line.outside and line.outside + line.length <= one.inside + one.length for one in parent)


def test_given_maps_are_split_where_the_parents_are() -> None:
    assert split([MapLine(0, 0, 10)], PARENT) == (MapLine(0, 0, 1), MapLine(1, 1, 9))
    with pytest.raises(NodeLacks, match="the ID 65537 cannot be mapped: you have 65537 IDs"):
        split([MapLine(0, 1, 65537)], PARENT)


@pytest.mark.parametrize("text", ["", "1", "a:b:c", "0:1:0", "0:1:2:3", "-1:0:1", "0:4294967295:2"])
def test_malformed_maps_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_map("--uidmap", [text])


def test_overlapping_maps_are_refused() -> None:
    with pytest.raises(InvalidInput, match="overlaps"):
        parse_map("--uidmap", ["0:0:10", "9:100:1"])
    with pytest.raises(InvalidInput, match="overlaps"):
        parse_map("--uidmap", ["0:0:11", "100:10:1"])


@pytest.mark.parametrize("text", ["keep-id:uid", "keep-id:uid=x", "keep-id:home=1", "keep-id:uid=-1"])
def test_malformed_keep_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_keep_id(text)


def test_what_a_record_asks_for() -> None:
    assert of_document({"UsernsMode": ""}, BOTH, 1000, 1000) is None
    assert of_document({"UsernsMode": "keep-id:uid=5"}, BOTH, 1000, 1000) == keep_id(BOTH, 5, 1000)
    given_maps = {"UidMap": ["0:1:5", "5:0"], "GidMap": ["0:0:1"]}
    assert of_document({"IDMappings": given_maps}, BOTH, 0, 0) == IdMaps((MapLine(0, 1, 5), MapLine(5, 0, 1)), (MapLine(0, 0, 1),))


def test_the_containers_root_must_be_somebody() -> None:
    with pytest.raises(InvalidInput, match="the container's root, inside 0, is not mapped"):
        parse_map("--uidmap", ["1:1:10"])


def test_nomap_leaves_the_user_out() -> None:
    expected = (MapLine(0, 1, 65536),)
    assert of_document({"UsernsMode": "nomap"}, BOTH, 1000, 1000) == IdMaps(expected, expected)
    alone = (MapLine(0, 1000, 1),)
    with pytest.raises(NodeLacks, match="nomap needs subordinate IDs"):
        of_document({"UsernsMode": "nomap"}, IdMaps(alone, alone), 1000, 1000)


@pytest.mark.parametrize(
    ("host_config", "has"),
    [
        ({"UsernsMode": "keep-id:size=5"}, True),
        ({"UsernsMode": "nomap"}, False),
        ({"UsernsMode": "auto", "IDMappings": {"UidMap": ["0:1:9"], "GidMap": ["0:1:9"]}}, False),
        ({"IDMappings": {"UidMap": ["0:1:9", "9:0"], "GidMap": ["0:0:9"]}}, True),
        ({"IDMappings": {"UidMap": ["0:1:9", "9:0"], "GidMap": ["0:1:9"]}}, False),
    ],
)
def test_whether_the_user_is_somebody_inside(host_config: dict[str, object], has: bool) -> None:
    assert have_user(host_config) == has


def test_what_auto_asks_for() -> None:
    asked = parse_auto("auto:size=10,uidmapping=0:5:2,uidmapping=7:9,gidmapping=0:0:1")
    assert asked == (10, (MapLine(0, 5, 2), MapLine(7, 9, 1)), (MapLine(0, 0, 1),))
    assert parse_auto("auto") == (None, (), ())
    for text in ("auto:size=x", "auto:size=0", "auto:users=1", "auto:uidmapping=1", "auto:uidmapping=0:1:3,uidmapping=2:9"):
        with pytest.raises(InvalidInput):
            parse_auto(text)


def test_modes_that_take_no_options() -> None:
    for text in ("nomap", "auto:size=4", "keep-id:uid=4"):
        check_mode(text)
    with pytest.raises(InvalidInput, match="takes no options"):
        check_mode("nomap:size=4")
