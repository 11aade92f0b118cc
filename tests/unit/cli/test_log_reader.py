import json
import os
import threading
import time
from collections.abc import Callable

import pytest

from cli.log_entries import Entry, Selection, entries, to_bytes
from cli.log_reader import LogReader
from rootless.containers.log_file import LogFile, Rotation, encode_cri, json_encoder

EVERYTHING = Selection()


def line(number: int, stream: str = "stdout") -> bytes:
    stamp = f"2026-01-01T00:00:{number:02d}.000000000Z"
    return json.dumps({"log": f"line {number}\n", "stream": stream, "time": stamp}).encode() + b"\n"


@pytest.fixture
def path(tmp_path: object) -> str:
    return f"{tmp_path}/log"


def write(path: str, content: bytes) -> None:
    with open(path, "ab") as file:
        file.write(content)


def texts(reader: LogReader, selection: Selection = EVERYTHING) -> list[str]:
    return [entry.log for lines in reader.blocks() for entry in entries(lines, selection)]


def test_a_log_that_was_never_written(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        LogReader(path)


def test_entries(path: str) -> None:
    write(path, line(1) + b"half a cra\x00sh\n" + b'{"log": 1}\n' + line(2, "stderr"))
    reader = LogReader(path)
    found = [entry for lines in reader.blocks() for entry in entries(lines, Selection())]
    reader.close()
    assert found == [
        Entry("line 1\n", "stdout", "2026-01-01T00:00:01.000000000Z"),
        Entry("line 2\n", "stderr", "2026-01-01T00:00:02.000000000Z"),
    ]


def test_an_unfinished_line_waits(path: str) -> None:
    write(path, line(1) + line(2)[:20])
    reader = LogReader(path)
    assert texts(reader) == ["line 1\n"]
    write(path, line(2)[20:])
    assert texts(reader) == ["line 2\n"]
    reader.close()


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (3, 3), (9, 9), (10, 10), (11, 10), (10**9, 10)])
@pytest.mark.parametrize("padding", [0, 100_000])
def test_tail(path: str, count: int, expected: int, padding: int) -> None:
    for number in range(10):
        content = json.loads(line(number))
        write(path, json.dumps({**content, "padding": "x" * padding}).encode() + b"\n")
    reader = LogReader(path)
    reader.seek_tail(count)
    assert texts(reader) == [f"line {number}\n" for number in range(10 - expected, 10)]
    reader.close()


def test_since_and_until(path: str) -> None:
    write(path, b"".join(map(line, range(10))))
    start = 1767225600 * 10**9
    reader = LogReader(path)
    selection = Selection(since=start + 3 * 10**9, until=start + 5 * 10**9)
    assert texts(reader, selection) == ["line 3\n", "line 4\n", "line 5\n"]
    reader.close()


def follow(path: str, during: Callable[[], None], found: list[str] | None = None) -> tuple[list[str], float]:
    """Follow the log while `during` runs and until it has ended; a pipe's end of file stands for the monitor's end.

    What is found is added to `found` as it comes.
    """
    found = [] if found is None else found
    reading, writing = os.pipe()

    def body() -> None:
        during()
        os.close(writing)

    reader = LogReader(path)
    thread = threading.Thread(target=body)
    thread.start()
    cpu = time.process_time()
    for lines in reader.follow(path, reading):
        found += [entry.log for entry in entries(lines, Selection())]
    cpu = time.process_time() - cpu
    thread.join()
    reader.close()
    os.close(reading)
    return found, cpu


def test_following_until_the_monitor_ends(path: str) -> None:
    write(path, line(1))

    def during() -> None:
        for number in (2, 3):
            time.sleep(0.05)
            write(path, line(number))

    assert follow(path, during)[0] == ["line 1\n", "line 2\n", "line 3\n"]


def test_following_does_not_poll(path: str) -> None:
    write(path, line(1))
    assert follow(path, lambda: time.sleep(0.5))[1] < 0.1


def test_following_a_log_that_is_removed(path: str) -> None:
    write(path, line(1))

    def during() -> None:
        time.sleep(0.05)
        with open(path, "ab") as file:
            os.unlink(path)
            file.write(line(2))

    assert follow(path, during)[0] == ["line 1\n", "line 2\n"]


@pytest.mark.parametrize("rotation", [Rotation(2000, 1), Rotation(2000, 3), Rotation(2000, 3, compress=True)])
@pytest.mark.parametrize("encode", [json_encoder({"tag": "x"}), encode_cri])
def test_a_follower_survives_rotation(path: str, rotation: Rotation, encode: Callable[[str, str, bytes], bytes]) -> None:
    log = LogFile(path, encode, rotation)
    found: list[str] = []

    def during() -> None:
        deadline = time.monotonic() + 20
        for number in range(400):
            log.write("stdout", b"line %d\n" % number)
            # A follower that is a whole file behind loses lines, as it must; a busy machine could make it so slow.
            while number - len(found) > 10 and time.monotonic() < deadline:
                time.sleep(0.0005)

    assert follow(path, during, found)[0] == [f"line {number}\n" for number in range(400)]
    reader = LogReader(path)
    kept = texts(reader)
    assert kept == [f"line {number}\n" for number in range(400)][-len(kept) :]
    assert len(kept) > 10 * rotation.max_files
    reader.close()
    tail = LogReader(path)
    tail.seek_tail(len(kept) - 1)
    assert texts(tail) == kept[1:]
    tail.close()


def test_files_are_as_many_and_as_large_as_wanted(path: str) -> None:
    log = LogFile(path, None, Rotation(1000, 3))
    for number in range(100):
        log.write("stdout", b"line %d\n" % number)
    log.write("stdout", b"".join(b"more %d\n" % number for number in range(50)))
    names = sorted(os.listdir(os.path.dirname(path)))
    assert names == ["log", "log.1", "log.2"]
    assert all(os.path.getsize(f"{os.path.dirname(path)}/{name}") <= 1000 for name in names)


@pytest.mark.parametrize("encode", [json_encoder({}), encode_cri])
def test_any_bytes_come_back(path: str, encode: Callable[[str, str, bytes], bytes]) -> None:
    content = bytes(range(256)) * 300 + b"\xed\xa0\x80 \xe2\x80\n" + "é\u2028".encode() * 20_000
    log = LogFile(path, encode)
    for start in range(0, len(content), 7001):
        log.write("stdout", content[start : start + 7001])
    log.flush()
    reader = LogReader(path)
    assert b"".join(to_bytes(one) for one in texts(reader)) == content
    reader.close()
