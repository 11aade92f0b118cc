"""A registry that does what a test scripts: refuses, lies, breaks off, dawdles."""

import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from rootless.images import media_types
from tests.support.registries import BuiltImage

Reply = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        owner = self.server.owner
        target = self.path
        if target.startswith("http://"):  # as a proxy gets it
            target = "/" + target.split("/", 3)[3]
        path = urllib.parse.unquote(target)
        owner.requests.append((path, dict(self.headers.items())))
        owner.calls.append(f"{self.command} {path}")
        plain = path.partition("?")[0]
        reply = owner.replies.get(f"{self.command} {plain}", owner.replies.get(plain))
        if reply is None:
            self.answer(404, b'{"errors": [{"code": "UNKNOWN", "message": "nothing here"}]}')
        else:
            reply(self)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.owner.bodies.append(body)
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def body(self, limit: int | None = None) -> bytes:
        """Return the request's body, or its first `limit` bytes."""
        length = int(self.headers.get("content-length", 0))
        return self.rfile.read(length if limit is None else min(limit, length))

    def answer(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Send a whole answer; `length` lies about it; a header's `_` is `-`."""
        self.send_response(status)
        self.send_header("content-length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: "ScriptedRegistry"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore what a client that hangs up causes."""


class ScriptedRegistry:
    """Serves `replies` (path, or `METHOD path` -> what to do) on a free port.

    `requests` are the paths and headers that came, `calls` the methods and paths.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {"/v2/": lambda request: request.answer(200, b"{}")}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.calls: list[str] = []
        self.bodies: list[bytes] = []
        self._server = _Server(("127.0.0.1", 0), Request)
        self._server.owner = self
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "ScriptedRegistry":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, image: BuiltImage, repository: str = "app", tag: str = "latest") -> None:
        """Serve an image as it should be; a test then replaces single replies."""
        for reference in (tag, image.digest):
            self.replies[f"/v2/{repository}/manifests/{reference}"] = whole(image.manifest, content_type=media_types.OCI_MANIFEST)
        for digest, content in image.blobs.items():
            self.replies[f"/v2/{repository}/blobs/{digest}"] = whole(content)

    def blob(self, digest: str, reply: Reply, repository: str = "app") -> None:
        self.replies[f"/v2/{repository}/blobs/{digest}"] = reply

    def asked(self, part: str) -> list[dict[str, str]]:
        """Return the headers of all requests whose path has `part`, names in lower case."""
        return [{name.lower(): value for name, value in headers.items()} for path, headers in self.requests if part in path]


def whole(content: bytes, **headers: str) -> Reply:
    """Return a reply with all of `content`, or the range that is asked for."""

    def reply(request: Request) -> None:
        start = request.headers.get("range", "").removeprefix("bytes=").partition("-")[0]
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            request.answer(206, content[int(start) :], content_range=span, **headers)
        else:
            request.answer(200, content, **headers)

    return reply


def in_turn(*replies: Reply) -> Reply:
    """Return a reply that is another one each time; the last stays."""
    remaining = list(replies)

    def reply(request: Request) -> None:
        (remaining.pop(0) if len(remaining) > 1 else remaining[0])(request)

    return reply


def broken_off(content: bytes, after: int) -> Reply:
    """Return a reply that announces all of what is left and hangs up after some bytes of it."""

    def reply(request: Request) -> None:
        start = int(request.headers.get("range", "").removeprefix("bytes=").partition("-")[0] or 0)
        rest = content[start:]
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        request.answer(206 if start else 200, rest[:after], length=len(rest), content_range=span)

    return reply
