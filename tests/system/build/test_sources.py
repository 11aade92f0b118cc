"""ADD and COPY: here-documents, archives, downloads, repositories, and the flags of what is copied."""

import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support.engine import Engine
from tests.support.test_user import drop_privileges
from tests.system.build.test_context import build, make_context

pytestmark = pytest.mark.engine


def look(engine: Engine, command: str) -> list[str]:
    return engine.rl("run", "--rm", "--network", "none", "app", "sh", "-c", command).stdout.split("\n")[:-1]


def test_here_documents_of_copy_and_run(engine: Engine) -> None:
    text = """FROM busybox
ARG who=you
COPY <<one <<-"two" <<three.txt /d/
hello $who \\$who "it's"
one
\traw $who
\ttwo
three.txt
COPY --chown=3:4 --chmod=645 <<EOF /script
${who:-x}
EOF
RUN <<EOF
set -e
echo a > /ran
echo $who >> /ran
EOF
RUN cat <<A > /cat && cat <<B >> /cat
one $who
A
two
B
RUN <<EOF
#!/bin/busybox sh
echo "awk" > /awk; # $who
EOF
USER 5
WORKDIR /tmp
RUN <<-EOF
\tid -u > /tmp/id
EOF
"""
    folder = make_context(engine, text, {})
    build(engine, str(folder))
    assert look(engine, "cat /d/one /d/two; wc -c < /d/three.txt; cat /script /ran /cat /awk /tmp/id") == [
        'hello you $who "it\'s"', "raw $who", "0", "you", "a", "you", "one you", "two", "awk", "5",
    ]  # fmt: skip
    assert look(engine, "stat -c %u:%g:%a /script /d/one; ls -d /dev/pipes 2>&1 || true") == [
        "3:4:645", "0:0:644", "ls: /dev/pipes: No such file or directory",
    ]  # fmt: skip
    assert build(engine, str(folder)).count("Using cache") == 7
    assert "echo a > /ran" in engine.rl("history", "--no-trunc", "app").stdout
    make_context(engine, text.replace("two $who", "").replace('echo "awk"', 'echo "new"'), {})
    assert build(engine, str(folder)).count("Using cache") == 4
    make_context(engine, "FROM busybox\nCOPY <<../x /y\nEOF\n../x\n", {})
    assert "without slashes" in engine.rl("build", str(folder), check=1).stderr


def test_archives_of_the_context_are_unpacked_by_add_only(engine: Engine) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as tar:
        for name, kind, uid in (("top", tarfile.DIRTYPE, 0), ("top/file", tarfile.REGTYPE, 7), ("top/link", tarfile.SYMTYPE, 7)):
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.gid, member.mode, member.mtime = kind, uid, uid, 0o750, 1000
            member.linkname = "file" if kind == tarfile.SYMTYPE else ""
            member.size = 2 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"hi"[: member.size]))
    lines = ["ADD a.tar plain folder /new/", "ADD a.tar /exact", "ADD --unpack=false a.tar /not", "COPY a.tar /copied"]
    lines.append("ADD --chown=9 a.tar /own/")
    folder = make_context(engine, "\n".join(["FROM busybox", *lines]), {"plain": "x", "folder/inner": "y"})
    (folder / "a.tar").write_bytes(content.getvalue())
    build(engine, str(folder))
    files = "/new/inner /new/plain /new/top /new/top/file /exact/top/file /not /copied /own/top/file"
    assert look(engine, f"stat -c '%n %u:%g:%a %F' {files}; readlink /new/top/link; stat -c %Y /exact/top/file") == [
        "/new/inner 0:0:644 regular file", "/new/plain 0:0:644 regular file",
        "/new/top 0:0:750 directory", "/new/top/file 7:7:750 regular file",
        "/exact/top/file 7:7:750 regular file", "/not 0:0:644 regular file", "/copied 0:0:644 regular file",
        "/own/top/file 9:9:750 regular file", "file", "1000",
    ]  # fmt: skip


def _context() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        member = tarfile.TarInfo("in/Dockerfile")
        text = b"FROM busybox\nCOPY in /in\n"
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return content.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/dir/file.txt?x=1")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Last-Modified", "Thu, 01 Jan 1998 00:00:00 GMT")
        content = {"/Dockerfile": b"FROM busybox\nCMD x\n", "/empty": b"#\n", "/context.tar": _context()}.get(self.path, b"data")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.requests.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


def test_add_downloads(engine: Engine, server: str) -> None:
    right = f"sha256:{hashlib.sha256(b'data').hexdigest()}"
    lines = [f"ADD {server}/dir/file.txt?q /in/", f"ADD --chown=3 --chmod=444 {server}/moved /exact"]
    lines.append(f"ADD --checksum={right} {server}/s /sum")
    folder = make_context(engine, "\n".join(["FROM busybox", *lines]), {})
    build(engine, str(folder))
    assert look(engine, "stat -c '%n %u:%g:%a %Y' /in/file.txt /exact /sum; cat /exact; echo") == [
        "/in/file.txt 0:0:600 883612800", "/exact 3:3:444 883612800", "/sum 0:0:600 883612800", "data",
    ]  # fmt: skip
    assert _Handler.requests.count("/s") == 1
    assert build(engine, str(folder)).count("Using cache") == 3
    assert _Handler.requests.count("/s") == 1  # its checksum is known
    assert "file with no instructions" in engine.rl("build", f"{server}/empty", check=1).stderr
    engine.rl("build", "-q", "-t", "other", f"{server}/Dockerfile")
    assert engine.rl("build", "-q", "-f", "in/Dockerfile", f"{server}/context.tar").stdout.startswith("sha256:")
    for line, message in (
        (f"ADD --checksum={right[:-1]}0 {server}/s /x", "digest mismatch"),
        (f"ADD --checksum=sha256:00 {server}/s /x", "invalid checksum digest format"),
        (f"ADD {server}/none /x", "404"),
        ("ADD http://127.0.0.1:1/x /x", "cannot download http://127.0.0.1:1/x"),
        (f"ADD --checksum={right} file /x", "checksum requires HTTP(S) or Git sources"),
        (f"ADD --keep-git-dir {server}/s /x", "keep-git-dir requires a Git source"),
    ):
        make_context(engine, f"FROM busybox\n{line}\n", {})
        assert message in engine.rl("build", str(folder), check=1).stderr


def test_add_takes_a_repository(engine: Engine) -> None:
    repository = engine.folder / "repository"
    repository.mkdir()
    os.chown(repository, *([engine.folder.stat().st_uid] * 2) if os.getuid() == 0 else (-1, -1))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    script = f"cd {repository} && mkdir sub && echo 1 > sub/one && echo 2 > two"
    for command in (["sh", "-c", script], [*git, "init", "-q"], [*git, "add", "-A"], [*git, "commit", "-qm", "x"]):
        subprocess.run(command, check=True, env=engine.environment, **drop_privileges())
    url = f"git+file://{repository}"
    lines = [f"ADD {url} /all/", f"ADD --keep-git-dir=true {url} /kept", f"ADD {url}#:sub /sub", f"ADD --exclude=two {url} /some"]
    folder = make_context(engine, "\n".join(["FROM busybox", *lines]), {})
    build(engine, str(folder))
    assert look(engine, "cd /; ls -A all kept sub some; stat -c %u:%g:%a /all/sub /all/two") == [
        "all:", "sub", "two", "", "kept:", ".git", "sub", "two", "", "some:", "sub", "", "sub:", "one", "0:0:755", "0:0:644",
    ]  # fmt: skip
    assert build(engine, str(folder)).count("Using cache") == 4


def test_what_copy_keeps_and_leaves_out(engine: Engine) -> None:
    files = {"a/b/c/one": "1", "a/b/two.txt": "2", "a/three.txt": "3", "x/y/four": "4"}
    lines = [
        "COPY --parents a/b/c/one x/y /p/", "COPY --parents ./a/./b/*.txt /pivot/", "COPY --parents **/*.txt /deep/",
        "COPY --exclude=*.txt --exclude=b/c a /e/", "COPY --chmod=u=rwX,go= a /m/", "COPY --link a/three.txt /l/",
        "COPY a/three.txt /tmp",
        "COPY a/three.txt /new/deep/name", "COPY --chown=5:6 a /owned/deep/",
    ]  # fmt: skip
    last = ["FROM base", "COPY --from=base --parents --chown=8 /p/x /e/b /q/"]
    folder = make_context(engine, "\n".join(["FROM busybox AS base", *lines, *last]), files)
    Path(folder / "a/three.txt").chmod(0o755)
    build(engine, str(folder))
    names = "m m/b m/three.txt m/b/two.txt owned owned/deep owned/deep/b/two.txt q/e q/e/b/two.txt"
    assert look(engine, f"cd /; find p pivot deep e l new tmp q -type f | sort; stat -c '%n %u:%g:%a' {names}") == [
        "deep/a/b/two.txt", "deep/a/three.txt", "e/b/two.txt", "l/three.txt", "new/deep/name", "p/a/b/c/one", "p/x/y/four",
        "pivot/b/two.txt", "q/e/b/two.txt", "q/p/x/y/four", "tmp/three.txt",
        "m 0:0:700", "m/b 0:0:700", "m/three.txt 0:0:700", "m/b/two.txt 0:0:600",
        "owned 5:6:755", "owned/deep 5:6:755", "owned/deep/b/two.txt 5:6:644", "q/e 8:8:755", "q/e/b/two.txt 8:8:644",
    ]  # fmt: skip
