"""Images are built from Dockerfiles, and run."""

import json
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.image_contents import read_image

pytestmark = pytest.mark.engine

_WHOLE = """
ARG BASE=busybox
FROM $BASE AS tools
RUN mkdir /made && echo tool > /made/tool && chown 7:8 /made/tool && chmod 4755 /made/tool
FROM busybox
ARG WHO=nobody
ENV GREETING="hello $WHO"
LABEL of=$WHO
WORKDIR /srv/in
COPY files/ here/
COPY files/one other
COPY --from=tools /made/ /tools/
RUN echo $GREETING > said && rm /bin/vi
EXPOSE 80
USER 7
CMD cat said
"""


def context(engine: Engine, dockerfile: str) -> str:
    folder = engine.folder / "context"
    (folder / "files" / "deep").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "files" / "one").write_text("1")
    (folder / "files" / "deep" / "two").write_text("2")
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "out").symlink_to("/etc")
    return str(folder)


def test_a_build_of_two_stages_runs(engine: Engine) -> None:
    path = context(engine, _WHOLE)
    built = engine.rl("build", "--network", "none", "--build-arg", "WHO=world", "-t", "app", "--label", "more=x=y", path)
    image_id = built.stdout.split()[-1]
    assert "STEP 4/15: FROM busybox" in built.stdout
    image = json.loads(engine.rl("inspect", "app").stdout)[0]
    assert image["Id"] == image_id
    config = image["Config"]
    assert (config["WorkingDir"], config["User"], config["Labels"]) == ("/srv/in", "7", {"of": "world", "more": "x=y"})
    assert engine.rl("run", "--rm", "--network", "none", "app").stdout == "hello world\n"
    look = "cat here/one here/deep/two other; stat -c ' %u:%g:%a' /tools/tool here/one; ls /bin/vi"
    seen = engine.rl("run", "--rm", "--network", "none", "app", "sh", "-c", look, check=None)
    assert seen.stdout.split() == ["121", "7:8:4755", "0:0:644"]
    assert "/bin/vi" in seen.stderr
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_label_without_a_value_is_empty_and_an_argument_has_it_from_here(engine: Engine) -> None:
    path = context(engine, "FROM busybox\nARG HOME\nARG NONESUCH=x\nLABEL at=$HOME and=$NONESUCH\n")
    engine.rl("build", "-q", "-t", "app", "--label", "bare", "--build-arg", "HOME", "--build-arg", "NONESUCH", path)
    labels = json.loads(engine.rl("inspect", "app").stdout)[0]["Config"]["Labels"]
    assert (labels["bare"], labels["and"]) == ("", "x")
    assert labels["at"].startswith("/")
    for option in ("--label", "--build-arg"):
        assert "'=x'" in engine.rl("build", option, "=x", path, check=1).stderr


def test_a_health_check_is_the_images(engine: Engine) -> None:
    path = context(engine, 'FROM busybox\nHEALTHCHECK CMD false\nHEALTHCHECK --interval=1m30s --retries=2 CMD ["true"]\n')
    engine.rl("build", "-q", "-t", "app", path)
    found = json.loads(engine.rl("inspect", "app").stdout)[0]["Config"]["Healthcheck"]
    assert found == {"Test": ["CMD", "true"], "Interval": 90 * 10**9, "Retries": 2}


def test_a_broken_dockerfile_is_shown_where_it_breaks(engine: Engine) -> None:
    path = context(engine, "FROM busybox\nENV lonely\nRUN true\n")
    failed = engine.rl("build", path, check=1)
    assert "ENV must have two arguments" in failed.stderr
    assert "   2 | >>> ENV lonely\n   3 |     RUN true\n" in failed.stderr


def test_copy_gives_owner_and_mode(engine: Engine) -> None:
    lines = ["FROM busybox", "ARG WHO=www-data", "COPY --chown=$WHO --chmod=4750 files/one /a", "COPY --chown=9:daemon files /d"]
    path = context(engine, "\n".join([*lines, "COPY --chown=daemon:33 files/one /d/"]))
    engine.rl("build", "-q", "-t", "app", path)
    seen = engine.rl("run", "--rm", "--network", "none", "app", "stat", "-c", "%u:%g:%a", "/a", "/d", "/d/deep/two", "/d/one")
    assert seen.stdout.split() == ["33:33:4750", "9:1:755", "9:1:644", "1:33:644"]


def test_a_target_and_scratch(engine: Engine) -> None:
    unneeded = "FROM nonesuch.invalid/unneeded AS no\n"
    path = context(engine, f"{unneeded}FROM scratch AS one\nCOPY files/one /x\nFROM nonesuch.invalid/never\nRUN false\n")
    file = engine.folder / "r" / "id"
    built = engine.rl("build", "-q", "--target", "One", "--iidfile", str(file), "-t", "one", path)
    assert built.stdout.strip() == file.read_text()
    assert "could not be found" in engine.rl("build", "--target", "two", path, check=1).stderr
    engine.rl("create", "--name", "box", "one", "x")
    engine.rl("cp", "box:/x", str(engine.folder / "r" / "x"))
    assert (engine.folder / "r" / "x").read_text() == "1"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN --network=hots true", 'unsupported network mode "hots" (did you mean host?)'),
        ("RUN --security=insecure true", "security.insecure is not allowed"),
        ("RUN echo why; exit 3", 'process "/bin/sh -c echo why; exit 3" did not complete successfully: exit code: 3'),
        ("COPY out/passwd /x", "not found"),
        ("COPY ../secret /x", "not found"),
        ("COPY --chmod=9 files /x", "invalid chmod parameter"),
        ("COPY --chown=nobody-here files /x", "nobody-here"),
        ("COPY --from=$X a b", "variable expansion is not supported for --from"),
        ("COPY --exclude=[ files /x", "syntax error in pattern"),
        ("COPY files/on[ /x", "syntax error in pattern"),
        ("COPY files/* files/one /x", "must be a directory and end with a /"),
        ('ENV A="b', "unexpected end of statement"),
    ],
)
def test_a_step_that_fails_is_named_and_leaves_nothing(engine: Engine, line: str, message: str) -> None:
    path = context(engine, f"FROM busybox\n{line}\n")
    failed = engine.rl("build", "--network", "none", "-t", "app", path, check=1)
    assert "rl: dockerfile line 2: " in failed.stderr
    assert message in failed.stderr
    assert engine.rl("ps", "-aq").stdout == ""
    assert len(engine.rl("images", "-aq").stdout.split()) == 1


def test_what_is_missing_is_said(engine: Engine, tmp_path: Path) -> None:
    assert "not found" in engine.rl("build", str(tmp_path / "none"), check=1).stderr
    assert "failed to read dockerfile" in engine.rl("build", str(engine.folder), check=1).stderr


def test_steps_are_cached_by_content(engine: Engine) -> None:
    path = context(engine, "FROM busybox\nRUN head -c 9 /dev/urandom > /a\nCOPY files /f\nRUN head -c 9 /dev/urandom > /b\n")
    first = engine.rl("build", "--network", "none", "-t", "one", path).stdout
    again = engine.rl("build", "--network", "none", path).stdout
    assert (first.count("Using cache"), again.count("Using cache")) == (0, 3)
    assert again.split()[-1] == first.split()[-1]  # the same image
    changed = engine.folder / "context" / "files" / "one"
    changed.touch()  # another time, and nothing else
    assert engine.rl("build", "--network", "none", path).stdout.count("Using cache") == 3
    changed.write_text("changed")
    assert engine.rl("build", "--network", "none", path).stdout.count("Using cache") == 1
    assert engine.rl("build", "--network", "none", "--no-cache", path).stdout.count("Using cache") == 0
    assert len(engine.rl("builder", "du").stdout.splitlines()) == 7 + 2


def test_pruning_the_cache_keeps_what_images_have(engine: Engine) -> None:
    gone = "FROM busybox AS gone\nRUN head -c 99999 /dev/urandom > /a\n"
    path = context(engine, f"{gone}FROM busybox\nCOPY --from=gone /bin/sh /c\nRUN echo kept > /b\n")
    engine.rl("build", "--network", "none", "-t", "one", path)
    assert "0B" not in engine.rl("builder", "prune", "-f").stdout.split()
    assert engine.rl("builder", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    assert engine.rl("run", "--rm", "--network", "none", "one", "cat", "/b").stdout == "kept\n"
    assert engine.rl("build", "--network", "none", path).stdout.count("Using cache") == 0


def test_a_layer_may_be_in_an_image_twice(engine_with_driver: Engine) -> None:
    engine = engine_with_driver
    path = context(engine, "FROM busybox\nCOPY files /f\nRUN rm -r /f/deep\nCOPY files /f\nRUN ls /f/deep > /seen\n")
    engine.rl("build", "-q", "--network", "none", "-t", "app", path)
    assert engine.rl("run", "--rm", "--network", "none", "app", "cat", "/seen", "/f/one").stdout == "two\n1"


def test_a_build_without_subordinate_ids(one_id_engine: Engine) -> None:
    lines = ["FROM busybox", "WORKDIR /w", "COPY --chown=3:4 --chmod=640 files/one one"]
    mounts = "--mount=type=cache,target=/c,uid=7 --mount=from=busybox,target=/b"
    lines.append(f"RUN {mounts} cp one /c/x && test -d /b/bin && cat /c/x > /seen")
    path = context(one_id_engine, "\n".join(lines))
    one_id_engine.rl("build", "-q", "--network", "none", "-t", "app", path)
    assert one_id_engine.rl("run", "--rm", "--network", "none", "app", "cat", "/seen").stdout == "1"
    one_id_engine.rl("push", "app", f"dir:{one_id_engine.folder}/home/image")
    _config, files = read_image(one_id_engine.folder / "home" / "image")
    assert files["w/one"][1:4] == (0o640, 3, 4)
