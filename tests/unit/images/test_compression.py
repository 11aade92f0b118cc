import bz2
import gzip
import hashlib
import io
import os
import threading

import pytest
import zstandard

from rootless.errors import CorruptImage, InvalidInput
from rootless.images.compression import HashedBlocks, Limits, Source, is_compressed, limits_from

DATA = os.urandom(3000) * 1000


def whole(source: bytes, limits: Limits = Limits()) -> tuple[bytes, str]:  # noqa: B008
    with HashedBlocks(io.BytesIO(source), limits) as blocks:
        content = b"".join(blocks)
        return content, blocks.digest()


@pytest.mark.parametrize(
    "compressed",
    [
        DATA,
        gzip.compress(DATA, 1),
        gzip.compress(DATA[:5000]) + gzip.compress(DATA[5000:]) + bytes(100),
        zstandard.compress(DATA),
        zstandard.compress(DATA[:5000]) + b"\x50\x2a\x4d\x18\x02\0\0\0ab" + zstandard.compress(DATA[5000:]),
    ],
    ids=["plain", "gzip", "gzip members", "zstd", "zstd frames"],
)
def test_all_forms_give_the_same_bytes_and_diff_id(compressed: bytes) -> None:
    content, digest = whole(compressed)
    assert content == DATA
    assert digest == f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def test_an_empty_blob_is_empty() -> None:
    assert whole(b"")[0] == b""


@pytest.mark.parametrize("compressed", [gzip.compress(DATA)[:-20], gzip.compress(DATA)[:1000]])
def test_truncated_gzip(compressed: bytes) -> None:
    with pytest.raises(CorruptImage, match="ends in the middle"):
        whole(compressed)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_damaged_data(compress: object) -> None:
    damaged = bytearray(compress(DATA))  # type: ignore[operator]
    damaged[-6] ^= 0xFF  # gzip's checksum
    if compress is zstandard.compress:
        damaged[4:12] = b"\xff" * 8  # the frame header: without a checksum zstd need not notice the rest
    with pytest.raises(CorruptImage, match="broken"):
        whole(bytes(damaged))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_bombs_stop_at_the_limit(compress: object) -> None:
    with pytest.raises(CorruptImage, match="bomb"):
        whole(compress(bytes(50 << 20)), Limits(total_bytes=10 << 20))  # type: ignore[operator]


def test_a_reader_that_stops_early_ends_the_thread() -> None:
    before = threading.active_count()
    with HashedBlocks(io.BytesIO(bytes(100 << 20)), Limits()) as blocks:
        next(iter(blocks))
    assert threading.active_count() == before


def test_errors_of_the_source_reach_the_reader() -> None:
    class Failing:
        def read(self, size: int, /) -> bytes:
            raise OSError(5, "Input/output error")

    source: Source = Failing()
    with HashedBlocks(source, Limits()) as blocks, pytest.raises(OSError, match="Input/output"):
        list(blocks)


def test_forms_are_told_by_their_magic() -> None:
    forms = [gzip.compress(b""), zstandard.compress(b""), bz2.compress(b""), b"", b"\x1f"]
    assert [is_compressed(form) for form in forms] == [True, True, False, False, False]


def test_limits_come_from_the_environment() -> None:
    assert limits_from({"RL_LAYER_MAX_BYTES": ""}) == Limits()
    environ = {"RL_LAYER_MAX_BYTES": "5", "RL_LAYER_MAX_RATIO": "6", "RL_LAYER_MAX_FILES": "7"}
    assert limits_from(environ) == Limits(5, 6, 7)
    for wrong in ("0", "-1", "1k", "²", "9" * 20):
        with pytest.raises(InvalidInput, match="RL_LAYER_MAX_RATIO"):
            limits_from({"RL_LAYER_MAX_RATIO": wrong})
