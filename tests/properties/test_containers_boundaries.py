"""What a container or a client controls, at random: frames on the monitor's socket, the log, passwd and group of the root."""

import contextlib
import json
import os
import socket as sockets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rootless.containers import frames
from rootless.containers.clients import Actions, Clients
from rootless.containers.log_file import LogFile
from rootless.containers.loop import Loop
from rootless.errors import InvalidInput
from rootless.linux.sockets import socket
from rootless.runtime.users import MAX_GROUPS, MAX_ID, ContainerUser, resolve

UNHURRIED = settings(deadline=None)  # the machine may be busy
FRAMES = st.lists(st.tuples(st.integers(0, frames.RESIZE), st.binary(max_size=300)))
CUTS = st.lists(st.integers(1, 40), min_size=1)


def pieces(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut content into pieces, the sizes used over and over."""
    position, number = 0, 0
    while position < len(content):
        size = sizes[number % len(sizes)]
        yield content[position : position + size]
        position, number = position + size, number + 1


def joined(received: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Put the pieces of a stream together that follow each other, since how they are cut means nothing."""
    found: list[tuple[int, bytes]] = []
    for kind, payload in received:
        is_stream = kind in (frames.STDOUT, frames.STDERR, frames.STDIN)
        if is_stream and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + payload)
        elif payload or not is_stream:
            found.append((kind, payload))
    return found


@given(FRAMES, CUTS)
@UNHURRIED
def test_frames_arrive_however_they_are_cut(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    decoder = frames.Decoder()
    stream = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    assert joined(frame for piece in pieces(stream, sizes) for frame in decoder.feed(piece)) == joined(sent)


@given(FRAMES, CUTS)
@UNHURRIED
def test_missing_never_asks_for_more_than_the_next_frame(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    decoder = frames.Decoder()
    stream = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    position, received = 0, []
    for size in sizes * (len(stream) + 1):
        if position == len(stream):
            break
        step = min(size, decoder.missing)
        new = list(decoder.feed(stream[position : position + step]))
        assert len(new) <= 1
        received += new
        position += step
    assert joined(received) == joined(sent)


@given(st.binary(max_size=2000), CUTS)
@UNHURRIED
def test_any_bytes_are_frames_or_an_error(content: bytes, sizes: list[int]) -> None:
    decoder = frames.Decoder()
    try:
        for piece in pieces(content, sizes):
            for kind, payload in decoder.feed(piece):
                assert kind <= frames.RESIZE
                assert len(payload) <= frames.MAX_PAYLOAD
    except frames.FrameError:
        return
    assert 0 < decoder.missing <= frames.MAX_PAYLOAD + 5


WORDS = st.sampled_from(["attach", "wait", "start", "resize"])
KEYS = st.sampled_from(["op", "stdin", "output", "rows", "columns", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
REQUESTS = JSON.map(lambda value: json.dumps(value).encode())
ATTACH = frames.encode(frames.REQUEST, b'{"op":"attach","stdin":1}')
CONVERSATIONS = st.lists(
    st.tuples(st.integers(0, 9), REQUESTS | st.binary(max_size=50)).map(lambda one: frames.encode(*one)) | st.binary(max_size=8)
)


@given(CONVERSATIONS, CUTS)
@example([frames.encode(frames.REQUEST, b'{"op":"resize","rows":1e400,"columns":NaN}')], [1])
@example([ATTACH, frames.encode(frames.RESIZE, b'{"rows":"9","columns":null}')], [99])
@UNHURRIED
def test_a_client_is_served_or_dropped(said: list[bytes], sizes: list[int]) -> None:
    """Whatever one client says, the loop has nothing to report, sizes are a terminal's, and another client gets its answer."""
    failures: list[Exception] = []
    windows: list[tuple[int, int]] = []
    given_input: list[bytes] = []
    loop = Loop(failures.append)
    nothing = lambda: None  # noqa: E731 - a value
    actions = Actions(
        lambda content: not given_input.append(content), nothing, nothing, lambda *size: windows.append(size), nothing
    )  # fmt: skip
    clients = Clients(loop, actions)
    hostile, other = connected(clients), connected(clients)
    for piece in pieces(b"".join(said), sizes):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was dropped
            hostile.send(piece)
        loop.run_once(0)
    other.send(frames.encode(frames.REQUEST, b'{"op":"attach"}'))
    for _round in range(3):
        loop.run_once(0)
    clients.send_output(frames.STDOUT, b"output")
    answer = list(frames.Decoder().feed(other.recv(1 << 16)))
    assert answer == [(frames.REPLY, b"{}"), (frames.STDOUT, b"output")]
    assert failures == []
    assert all(0 <= number <= 0xFFFF for size in windows for number in size)
    hostile.close()
    other.close()
    for _round in range(3):
        loop.run_once(0)


def connected(clients: Clients) -> sockets.socket:
    """Return the client's end of a new connection."""
    ours, theirs = sockets.socketpair()
    clients.add(socket(fileno=ours.detach()))
    return theirs


STREAMS = st.sampled_from(["stdout", "stderr"])
TEXTS = st.text(max_size=60) | st.sampled_from(["\n", "\r", '"},{"', "\u2028"])
BYTES = st.binary(max_size=200) | st.integers(1, 70_000).map(bytes)


@given(st.lists(st.tuples(STREAMS, TEXTS)), st.integers(1, 7))
@UNHURRIED
def test_a_log_is_what_was_written(writes: list[tuple[str, str]], size: int) -> None:
    """Also where characters come in pieces; each line of the file is one entry."""
    entries = logged([(stream, piece) for stream, text in writes for piece in pieces(text.encode(), [size])])
    for stream in ("stdout", "stderr"):
        written = "".join(text for one, text in writes if one == stream)
        found = [entry["log"] for entry in entries if entry["stream"] == stream]
        assert "".join(found) == written
        assert all(log.endswith("\n") for log in found[:-1])
        assert all("\n" not in log[:-1] for log in found)


@given(st.lists(st.tuples(STREAMS, BYTES), max_size=12))
@UNHURRIED
def test_a_log_of_any_bytes_is_json(writes: list[tuple[str, bytes]]) -> None:
    entries = logged(writes)
    for stream in ("stdout", "stderr"):
        content = b"".join(piece for one, piece in writes if one == stream)
        assert sum(entry["log"].count("\n") for entry in entries if entry["stream"] == stream) == content.count(b"\n")
    assert all(len(entry["log"]) <= (16 << 10) + 70_000 for entry in entries)


def logged(writes: list[tuple[str, bytes]]) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        log = LogFile(f"{folder}/log")
        for stream, content in writes:
            log.write(stream, content)
        log.flush()
        os.close(log._descriptor)
        lines = Path(folder, "log").read_bytes().split(b"\n")
    assert lines.pop() == b""
    entries = [json.loads(line) for line in lines]
    assert all(set(entry) == {"log", "stream", "time"} for entry in entries)
    return entries


NUMBERS = ["0", "5", "-1", "+1", "1_0", "4294967296", "99999999999999999999"]
FIELD = st.text("abr0159:-+_,#\0 \t\xff", max_size=8).map(os.fsencode) | st.sampled_from(["root", "me", *NUMBERS]).map(str.encode)
LINES = st.lists(st.lists(FIELD, max_size=8).map(b":".join) | st.binary(max_size=30)).map(b"\n".join)
USERS = st.text("abr0159:-+ \0é", max_size=8) | st.sampled_from(["", "root", "me", "me:5", "0:root", "5:-1", *NUMBERS])


@given(LINES, LINES, USERS, st.lists(USERS, max_size=2))
@UNHURRIED
def test_users_of_any_files_are_users_or_an_error(passwd: bytes, group: bytes, user: str, more: list[str]) -> None:
    with root_with(passwd, group) as root:
        try:
            found = resolve(root, user, more)
        except InvalidInput:
            return
    assert isinstance(found, ContainerUser)
    assert all(0 <= number <= MAX_ID for number in (found.uid, found.gid, *found.additional_gids))
    assert len(found.additional_gids) <= MAX_GROUPS
    assert found.home.startswith("/")
    assert not {"\0", "\n"} & set(found.home)


NAME = st.text("abcdefg_-", min_size=1, max_size=6).filter(lambda name: not name.startswith("-"))
ID = st.integers(0, MAX_ID)
GOOD_USERS = st.dictionaries(NAME, st.tuples(ID, ID), min_size=1, max_size=6)
GOOD_GROUPS = st.dictionaries(NAME, st.tuples(ID, st.sets(NAME)), max_size=6)


@given(GOOD_USERS, GOOD_GROUPS, st.data())
@UNHURRIED
def test_users_of_good_files_are_found(
    users: dict[str, tuple[int, int]], groups: dict[str, tuple[int, set[str]]], data: st.DataObject
) -> None:
    passwd = "".join(f"{name}:x:{uid}:{gid}::/home/{name}:/bin/sh\n" for name, (uid, gid) in users.items())
    group = "".join(f"{name}:x:{gid}:{','.join(sorted(members))}\n" for name, (gid, members) in groups.items())
    name = data.draw(st.sampled_from(sorted(users)))
    uid, gid = users[name]
    member_of = [number for number, members in groups.values() if name in members]
    with root_with(passwd.encode(), group.encode()) as root:
        found = resolve(root, name)
    assert found == ContainerUser(uid, gid, tuple(dict.fromkeys([gid, *member_of])), f"/home/{name}")


@contextlib.contextmanager
def root_with(passwd: bytes, group: bytes) -> Iterator[int]:
    """A root with these files, open."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/etc")
        Path(folder, "etc/passwd").write_bytes(passwd)
        Path(folder, "etc/group").write_bytes(group)
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
