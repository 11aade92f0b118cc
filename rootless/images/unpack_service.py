"""Unpacking beside a download: a worker in the parent namespace that takes layers as they become complete.

Theory of operation. The worker is forked before trio starts, as a fork wants a single thread. Requests and replies are JSON
lines on two pipes, strictly in turn:

    {"extract": [blob path, diff ID, told]}          {"result": [warning, …]}
    {"place": [{diff ID: blob path}, [diff ID, …]]}  {"result": [[key, …], size]}
                                                     {"error": class name, "message": …, "hint": …} to either

Where `told` is true, lines {"at": bytes of the blob that are unpacked} come before the reply, so that nothing waits for who does
not read them.

End of file ends the worker between two requests, SIGTERM in the middle of one; both remove what is not placed. What a killed
worker leaves is unlocked thereby, and removed by the next.
"""

import json
import os
import signal
import time
import traceback
from types import FrameType
from typing import Any, Final, NoReturn

from rootless import errors
from rootless.errors import CorruptImage, RlError, os_error_text
from rootless.images.compression import Limits, limits_from
from rootless.images.unpack_image import LayerUnpacker
from rootless.locations import Locations
from rootless.namespaces.parent import fork_into_parent

_TELL_EVERY: Final = 0.1  # seconds


class UnpackService:
    """The caller's side: two descriptors and the worker's PID. `end` must be called."""

    def __init__(self, locations: Locations) -> None:
        """Start the worker; the caller is single-threaded.

        Raises `NodeLacks` where there are no user namespaces, `InvalidInput` for malformed limits in the environment.
        """
        limits = limits_from(os.environ)
        os.makedirs(locations.layers, 0o700, exist_ok=True)
        requests, self.requests = os.pipe2(os.O_CLOEXEC)
        self.replies, replies = os.pipe2(os.O_CLOEXEC)

        def body() -> None:
            os.close(self.requests)
            os.close(self.replies)
            _serve(locations, limits, requests, replies)

        try:
            self._pid = fork_into_parent(locations.runtime_dir, body)
        except (RlError, OSError):
            os.close(self.requests)
            os.close(self.replies)
            raise
        finally:
            os.close(requests)
            os.close(replies)

    def end(self, *, at_once: bool) -> None:
        """Wait for the worker's end; `at_once` in the middle of a layer. The descriptors are the caller's to close before."""
        if at_once:
            os.kill(self._pid, signal.SIGTERM)  # our child, not reaped yet: the PID is its own
        os.waitpid(self._pid, 0)


def request(verb: str, *arguments: Any) -> bytes:
    """Return one request's line."""
    return json.dumps({verb: arguments}).encode() + b"\n"


def unwrap(line: bytes) -> Any:
    """Return the result in a reply's line. Raises the `RlError` that it carries."""
    if not line.endswith(b"\n"):
        raise RlError("the worker that unpacks layers ended early", "is the machine out of memory?")
    reply = json.loads(line)
    if "error" in reply:
        raise getattr(errors, reply["error"], RlError)(reply["message"], reply["hint"])
    return reply["result"]


def progress_in(line: bytes) -> int | None:
    """Return how many bytes of a blob are unpacked where a line says that, None where it is a reply."""
    found = json.loads(line).get("at")
    return found if isinstance(found, int) else None


def _serve(locations: Locations, limits: Limits, requests: int, replies: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, which then ends this process
    signal.signal(signal.SIGTERM, _stop)
    with open(requests, "rb") as source, open(replies, "wb", buffering=0) as sink, LayerUnpacker(locations, limits) as unpacker:
        try:
            for line in source:
                sink.write(json.dumps(_answer(unpacker, json.loads(line), _Teller(replies))).encode() + b"\n")
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on temporary folders are removed


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


class _Teller:
    """Tells the caller now and then how far a layer is; called by the thread that reads its blob."""

    def __init__(self, replies: int) -> None:
        self._replies = replies
        self._last = time.monotonic()

    def __call__(self, offset: int) -> None:
        now = time.monotonic()
        if now - self._last >= _TELL_EVERY:
            self._last = now
            os.write(self._replies, b'{"at": %d}\n' % offset)  # less than PIPE_BUF: never in pieces (pipe(7))


def _answer(unpacker: LayerUnpacker, wanted: dict[str, Any], teller: _Teller) -> dict[str, Any]:
    try:
        if "extract" in wanted:
            path, diff_id, told = wanted["extract"]
            unpacker.blobs[diff_id] = path
            _extract(unpacker, path, diff_id, teller if told else None)
            return {"result": [f"layer {_short(path)}: {text}" for text in unpacker.warnings_of(diff_id)]}
        paths, diff_ids = wanted["place"]
        unpacker.blobs.update(paths)
        return {"result": unpacker.place(tuple(diff_ids))}
    except RlError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except OSError as error:
        return {"error": "RlError", "message": f"cannot unpack a layer: {os_error_text(error)}", "hint": None}
    except Exception:  # a defect of ours: its traceback must reach the caller, which is another process
        return {"error": "RlError", "message": f"a worker failed:\n{traceback.format_exc()}", "hint": None}


def _extract(unpacker: LayerUnpacker, path: str, diff_id: str, told: _Teller | None) -> None:
    try:
        unpacker.extract(path, diff_id, told)
    except CorruptImage as error:
        raise CorruptImage(f"layer {_short(path)}: {error.message}", error.hint) from error


def _short(path: str) -> str:
    return os.path.basename(path)[:12]
