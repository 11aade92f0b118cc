"""What a build takes as its context, and what of it is left out."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

_LIST = "FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list && find . -type d | sort > /folders\n"


def make_context(engine: Engine, dockerfile: str, files: dict[str, str]) -> Path:
    folder = engine.folder / "context"
    folder.mkdir(exist_ok=True)
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def build(engine: Engine, *arguments: str, **options: object) -> str:
    return engine.rl("build", "--network", "none", "-t", "app", *arguments, **options).stdout  # type: ignore[arg-type]


def read(engine: Engine, path: str) -> list[str]:
    return engine.rl("run", "--rm", "--network", "none", "app", "cat", path).stdout.split()


def test_what_dockerignore_names_is_left_out(engine: Engine) -> None:
    files = dict.fromkeys(("a.log", "docs/a.md", "docs/b.txt", "docs/deep/c.md", "keep/a.log", "src/x.c", "src/.git/y"), "x")
    ignored = "# no\n**/*.log\ndocs\n!docs/deep/*.md\n**/.git\n!keep/a.log\nDockerfile\n.dockerignore\n"
    folder = make_context(engine, _LIST, {**files, ".dockerignore": ignored})
    build(engine, str(folder))
    assert read(engine, "/list") == ["./docs/deep/c.md", "./keep/a.log", "./src/x.c"]
    assert read(engine, "/folders") == [".", "./docs", "./docs/deep", "./keep", "./src"]
    assert engine.rl("run", "--rm", "app", "stat", "-c", "%u:%g", "/c/docs", "/c/src/x.c").stdout.split() == ["0:0"] * 2
    make_context(engine, "FROM busybox\nCOPY docs/b.txt /\n", {})
    assert '"/docs/b.txt": not found' in engine.rl("build", str(folder), check=1).stderr
    make_context(engine, "FROM busybox\nCOPY docs/* /d/\nRUN cd /d && find . -type f > /list\n", {})
    build(engine, str(folder))
    assert read(engine, "/list") == ["./c.md"]
    (folder / ".dockerignore").write_text("*\n!**/x.c\n!keep\n")  # a ! that may take back in something anywhere
    make_context(engine, "FROM busybox\nCOPY a.log /\n", {})
    assert '"/a.log": not found' in engine.rl("build", str(folder), check=1).stderr
    make_context(engine, "FROM busybox\nCOPY * /all/\nRUN cd /all && find . -type f | sort > /list\n", {})
    build(engine, str(folder))
    assert read(engine, "/list") == ["./a.log", "./x.c"]  # of keep and src, whose contents are copied
    (folder / ".dockerignore").write_text(ignored)
    (folder / "link").symlink_to("docs/b.txt")
    make_context(engine, "FROM busybox\nCOPY link /\n", {})
    assert "not found" in engine.rl("build", str(folder), check=1).stderr


def test_a_dockerfile_may_have_its_own(engine: Engine) -> None:
    other = {"other.Dockerfile": _LIST, "other.Dockerfile.dockerignore": "*\n!a", ".dockerignore": "a"}
    folder = make_context(engine, _LIST, {**other, "a": "", "b": ""})
    build(engine, "-f", str(folder / "other.Dockerfile"), str(folder))
    assert read(engine, "/list") == ["./a"]
    (folder / ".dockerignore").write_text("[")
    failed = engine.rl("build", str(folder), check=1).stderr
    assert "error from .dockerignore: syntax error in pattern: '['" in failed


def test_a_dockerfile_and_a_tar_on_standard_input(engine: Engine) -> None:
    folder = make_context(engine, "FROM nonesuch", {"a": "1"})
    build(engine, "-f", "-", str(folder), stdin="FROM busybox\nCOPY a /x\n")
    assert read(engine, "/x") == ["1"]
    build(engine, "-", stdin="FROM busybox\nRUN echo 2 > /x\n")
    assert read(engine, "/x") == ["2"]
    assert "not found" in engine.rl("build", "-", stdin="FROM busybox\nCOPY a /x\n", check=1).stderr
    assert "can't use stdin for both" in engine.rl("build", "-f", "-", "-", check=1).stderr
    archive = engine.folder / "r" / "context.tar"
    with tarfile.open(archive, "w:gz") as tar:
        members = {"Dockerfile": b"FROM busybox\nCOPY a /x\n", "a": b"3", "sub/C": b"FROM busybox\nCOPY b /x\n", "b": b"4"}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    for arguments, expected in ((), "3"), (("-f", "sub/C"), "4"):
        with archive.open("rb") as file:
            process = engine.start("build", "-q", "-t", "app", *arguments, "-", stdin=file)
            assert process.wait(60) == 0
        assert read(engine, "/x") == [expected]
    assert os.listdir(engine.data_root / "build-scratch") == []


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_git_repository(engine: Engine) -> None:
    files = {"a": "1", "sub/Dockerfile": "FROM busybox\nCOPY . /x\n", "sub/only": "s"}
    folder = make_context(engine, "FROM busybox\nCOPY a /x\n", files)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-C", str(folder)]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], check=True, stdout=subprocess.DEVNULL, env=engine.environment, **drop_privileges())

    subprocess.run(["chown", "-R", os.environ.get("RL_TEST_USER", "rltest"), str(folder)], check=os.getuid() == 0)
    run("init", "-q")
    run("add", "-A")
    run("commit", "-q", "-m", "one")
    run("tag", "v1")
    (folder / "a").write_text("2")
    run("commit", "-q", "-a", "-m", "two")
    url = f"git+file://{folder}"
    build(engine, url)
    assert read(engine, "/x") == ["2"]
    build(engine, f"{url}#v1")
    assert read(engine, "/x") == ["1"]
    build(engine, f"{url}#main:sub")
    assert engine.rl("run", "--rm", "app", "ls", "-A", "/x").stdout.split() == ["Dockerfile", "only"]
    assert "failed to load git source" in engine.rl("build", f"{url}#nonesuch", check=1).stderr
    assert "no folder nope" in engine.rl("build", f"{url}#main:nope", check=1).stderr
    assert "not a git repository" in engine.rl("build", f"{url}#--upload-pack=x", check=1).stderr


def test_links_and_wildcards_of_the_context(engine: Engine) -> None:
    files = {"a1": "1", "a2": "2", "a[1]": "3", "d1/x/y": "4", "d2/x/z": "5"}
    lines = ["COPY a? /q/", "COPY a\\[1] /b", "COPY d*/x /x/", "COPY out/hostname* /h/", "COPY link /l", "COPY nope* a1 /n/"]
    folder = make_context(engine, "\n".join(["FROM busybox", *lines, "RUN find q b x h l n -type f > /list"]), files)
    (folder / "out").symlink_to("/etc")
    (folder / "link").symlink_to("d1")
    failed = engine.rl("build", str(folder), check=1)
    assert "not found" in failed.stderr
    look = "RUN find q b x l n -type f | sort > /list"
    (folder / "Dockerfile").write_text("\n".join(["FROM busybox", *lines[:3], *lines[4:], look]))
    build(engine, str(folder))
    assert read(engine, "/list") == ["b", "l/x/y", "n/a1", "q/a1", "q/a2", "x/y", "x/z"]
