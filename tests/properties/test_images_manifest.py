"""Names follow the grammar of the distribution spec; whatever a registry sends as a manifest or config is taken or refused."""

import contextlib
import copy
import io
import json
import re
import string
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import media_types, mtree, platform, reference
from rootless.images.manifest import as_oci, chain_ids, diff_ids_of, parse_manifest

# distribution-spec, "Pulling manifests": <name> and <reference> as a tag.
NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
PIECES = st.sampled_from(["a", "b1", ".", "_", "__", "___", "-", "--", "/", "//", "A", "é", " ", "0" * 70, "..", "\n", "\0"])


@given(st.from_regex(rf"\A{NAME}\Z").filter(lambda name: len(name) < 200), st.from_regex(rf"\A{TAG}\Z"), st.none() | DIGEST)
def test_every_name_of_the_spec_is_taken(name: str, tag: str, digest: str | None) -> None:
    name, tag = name.removesuffix("\n"), tag.removesuffix("\n")
    text = f"registry.example:5000/{name}:{tag}" + (f"@{digest}" if digest else "")
    assert reference.parse(text) == reference.Reference("registry.example:5000", name, tag, digest)


@given(st.lists(PIECES, max_size=6).map("".join), st.text(string.printable + "é\0", max_size=10))
@example("a", "x\n")
@example("a\n", "x")
def test_no_other_name_is(name: str, tag: str) -> None:
    is_right = re.fullmatch(NAME, name, re.ASCII) and re.fullmatch(TAG, tag, re.ASCII) and len(name) < 200
    try:
        parsed = reference.parse(f"registry.example/{name}:{tag}")
    except InvalidInput:
        assert not is_right
    else:
        # A slash, colon or @ in the tag moves the borders, but never lets anything else through.
        assert re.fullmatch(NAME, parsed.path, re.ASCII)
        assert parsed.tag is None or re.fullmatch(TAG, parsed.tag, re.ASCII)
        assert is_right or set(tag) & set("/:@")


def descriptor(kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": "sha256:" + "0" * 64, "size": 10}


IMAGE: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": media_types.DOCKER_MANIFEST,
    "config": descriptor(media_types.OCI_CONFIG),
    "layers": [descriptor(media_types.OCI_LAYER), descriptor(f"{media_types.OCI_LAYER}+gzip")],
}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "manifests": [{**descriptor(media_types.OCI_MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}],
}
CONFIG: dict[str, Any] = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64, "sha256:" + "2" * 64]}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Return container and key of every value in a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    return [place for key, value in items for place in [(document, key), *places(value)]]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([IMAGE, INDEX, CONFIG]), st.data())
def test_documents_with_anything_in_any_place(whole: dict[str, Any], data: st.DataObject) -> None:
    changed = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        found = places(changed)
        if not found:
            break
        container, key = data.draw(st.sampled_from(found))
        if data.draw(st.booleans()):
            container[key] = data.draw(JSON)
        elif isinstance(container, dict):
            del container[key]
    with contextlib.suppress(CorruptImage):
        manifest = parse_manifest(changed)
        assert all(reference.is_digest(layer.digest) and layer.size >= 0 for layer in manifest.layers)
        content, blob = as_oci(json.dumps(changed).encode(), str(changed.get("mediaType")))
        assert (blob.size, parse_manifest(json.loads(content)).layers[:0]) == (len(content), ())
    with contextlib.suppress(CorruptImage, NoSuchObject):
        assert reference.is_digest(platform.choose(changed, platform.Platform("linux", "amd64")).digest)
    with contextlib.suppress(CorruptImage):
        diff_ids = diff_ids_of(changed, 2)
        assert all(map(reference.is_digest, chain_ids(diff_ids)))


PATHS = st.lists(st.binary(min_size=1, max_size=6).filter(lambda part: not set(part) & set(b"/\0")), max_size=4).map(b"/".join)
NUMBERS = st.integers(0, 2**32 - 1)


@given(st.dictionaries(PATHS, st.tuples(st.integers(0, 0o7777), NUMBERS, NUMBERS, st.integers(-(2**62), 2**62), NUMBERS)))
def test_records_of_files_round_trip_whatever_the_names(files: dict[bytes, tuple[int, int, int, int, int]]) -> None:
    output = io.BytesIO()
    record = mtree.RecordWriter(output)
    for path, fields in files.items():
        record.add(path, mtree.REGULAR, mtree.OnDisk(*fields), 7, 9)
        record.add_hard_link(path + b"/link", path)
    output.seek(0)
    expected = {path: mtree.Entry(mtree.REGULAR, mtree.OnDisk(*fields), 7, 9) for path, fields in files.items()}
    assert mtree.read(output) == {**{path + b"/link": entry for path, entry in expected.items()}, **expected}


@settings(max_examples=200)
@given(st.integers(0, 200), st.integers(0, 255))
def test_damaged_records_are_refused_or_read(position: int, byte: int) -> None:
    output = io.BytesIO()
    record = mtree.RecordWriter(output)
    record.add(b"a b", mtree.REGULAR, mtree.OnDisk(0o644, 1, 2, 3, 4), 5, 6)
    record.add_sparse(b"s", mtree.OnDisk(0o644, 1, 2, 3, 4), 5, 6, [(0, 1), (3, 2)])
    record.add_hard_link(b"h", b"a b")
    record.remove(b"s")
    content = bytearray(output.getvalue())
    content[position % len(content)] = byte
    with contextlib.suppress(CorruptImage):
        assert isinstance(mtree.read(io.BytesIO(content)), dict)
