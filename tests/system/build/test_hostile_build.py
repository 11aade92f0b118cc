"""Builds of what was made to break them: no traceback, nothing of the node, and an end."""

import random
from pathlib import Path

import pytest

from rootless.build.plan import make_plan
from rootless.build.reader import read
from rootless.build.scope import Arguments
from rootless.errors import RlError
from tests.support.engine import Engine
from tests.system.build.test_context import build, make_context
from tests.system.build.test_sources import look

pytestmark = pytest.mark.engine


def test_no_link_of_the_context_leads_out(engine: Engine) -> None:
    folder = make_context(engine, "", {"real/file": "in"})
    (folder / "up").symlink_to("../../..")
    (folder / "etc").symlink_to("/etc")
    (folder / "proc").symlink_to("/proc/self/root/etc")
    (folder / "inside").symlink_to("/real")
    for source in ("up/etc/hostname", "etc/hostname", "proc/hostname", "../../../etc/hostname", "etc/host*", "**/hostname"):
        (folder / "Dockerfile").write_text(f"FROM busybox\nCOPY {source} /got\n")
        failed = engine.rl("build", str(folder), check=1).stderr
        assert "not found" in failed or "Too many levels of symbolic links" in failed
        assert ">>> COPY" in failed
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY inside/file /got\nCOPY etc proc up /links/\n")
    assert "Too many levels of symbolic links" in engine.rl("build", str(folder), check=1).stderr
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY inside/file /got\nCOPY . /all/\n")
    build(engine, str(folder))
    assert look(engine, "cat /got; echo; readlink /all/etc; readlink /all/up") == ["in", "/etc", "../../.."]


def test_a_file_that_cannot_be_read_is_named(engine: Engine) -> None:
    folder = make_context(engine, "FROM busybox\nCOPY . /all\n", {"sub/closed": "x"})
    for path in (folder / "sub" / "closed", folder / "sub"):
        path.chmod(0)
        assert f"Permission denied: {path.relative_to(folder)}\n" in engine.rl("build", str(folder), check=1).stderr
    (folder / ".dockerignore").write_text("sub\n")
    engine.rl("build", "-q", str(folder))
    (folder / "sub").chmod(0o755)


def test_no_link_of_an_image_leads_a_copy_out(engine: Engine) -> None:
    text = """FROM busybox AS bad
RUN ln -s ../../../../../../.. /climb && ln -s /loop /loop && mkdir -p /d && ln -s / /d/x && echo own > /etc/mark
FROM busybox
COPY --from=bad /climb/etc/mark /one
COPY f /climb2/
FROM bad
COPY f /climb/put
COPY f /d/x/through
RUN cat /put /through > /seen
"""
    folder = make_context(engine, text, {"f": "f"})
    build(engine, str(folder))
    assert look(engine, "cat /seen; echo") == ["ff"]
    build(engine, "--target", "1", str(folder))
    assert look(engine, "cat /one") == ["own"]
    for line in ("COPY f /loop/x", "COPY f /etc/mark/", "COPY f /etc/mark/x"):
        (folder / "Dockerfile").write_text(text.partition("FROM busybox\n")[0] + f"FROM bad\n{line}\n")
        assert f">>> {line}" in engine.rl("build", str(folder), check=1).stderr


def test_huge_input_ends(engine: Engine) -> None:
    long = "x" * (1 << 20)
    folder = make_context(engine, f"FROM busybox\nARG A={long}\nENV B={long[:100000]}\nCMD {long}\n", {})
    out = engine.rl("build", str(folder), check=None)
    assert len(out.stdout) < 10_000, out.stderr[:1000]
    assert out.status == 0, (out.stderr[:500], out.stderr[-500:])
    (folder / "Dockerfile").write_text(f"FROM busybox\nLABEL c={long}\nCMD {long}\n")
    assert "and 4194304 are the most" in engine.rl("build", str(folder), check=1).stderr
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN {long}\n")
    failed = engine.rl("build", "--network", "none", str(folder), check=1)
    assert len(failed.stderr) < 10_000
    (folder / "Dockerfile").write_text("FROM busybox\n" + "ONBUILD " * 100_000 + "RUN x\n")
    assert "isn't allowed" in engine.rl("build", str(folder), check=1).stderr
    (folder / "Dockerfile").write_text("FROM busybox\n" * 3000)
    assert engine.rl("build", "-q", str(folder)).stdout.startswith("sha256:")


def test_random_dockerfiles_are_read_or_refused() -> None:
    """No other error than ours comes out, whatever the words are."""
    words = [
        *Path(__file__).read_text().split(),
        "FROM", "RUN", "COPY", "ADD", "--from=", "--mount=type=cache,target=/x", "<<EOF", "EOF", "\\", "`", "${a:-", "}", '"', "'",
        "[", '["a"', "]", "#", "# escape=`", "AS", "=", "a=b", "\n", "\n", "\n", "\0", "\x1b[2J", "ONBUILD", "ARG", "ENV",
        "HEALTHCHECK", "NONE", "--platform=$X", "SHELL", "\u2028", "\ud800", "EXPOSE", "é", "<<-'X'", "--exclude=[",
        "--chmod=9", "--x",
    ]  # fmt: skip
    said = []
    chance = random.Random(7)
    for _number in range(3000):
        text = " ".join(chance.choice(words) for _word in range(chance.randrange(1, 30)))
        try:
            make_plan(read(text if chance.random() < 0.3 else f"FROM a\n{text}"), Arguments({}, None, ""), None)
        except RlError as error:
            said.append(error.message)
    assert len(said) > 1000
    assert "\x1b" not in "".join(said)
