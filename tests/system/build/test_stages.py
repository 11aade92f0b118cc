"""Stages: side by side, skipped, failing; platforms and arguments."""

import json
import os
import signal
import subprocess

import pytest

from tests.support.engine import Engine, wait_until
from tests.system.build.test_build_ends import is_step_there, wait_for_step
from tests.system.build.test_context import build, make_context
from tests.system.build.test_sources import look

pytestmark = pytest.mark.engine


_BOTH = """FROM busybox AS one
RUN --mount=type=cache,target=/meet touch /meet/one; until test -e /meet/two; do sleep 0.05; done; echo first > /f; echo said
FROM busybox AS two
RUN --mount=type=cache,target=/meet touch /meet/two; until test -e /meet/one; do sleep 0.05; done; echo second > /f
FROM busybox
COPY --from=one /f /one
COPY --from=two /f /two
CMD ["cat", "/one", "/two"]
"""


def test_stages_that_do_not_need_each_other_are_built_side_by_side(engine: Engine) -> None:
    folder = make_context(engine, _BOTH, {})
    out = build(engine, str(folder))
    assert "[one] said\n" in out
    assert "[two] STEP 4/8: RUN" in out
    assert "\nSTEP 6/8: COPY" in out
    assert engine.rl("run", "--rm", "app").stdout == "first\nsecond\n"
    assert build(engine, str(folder)).count("Using cache") == 4


def test_one_that_fails_ends_the_others(engine: Engine) -> None:
    text = "FROM busybox AS a\nRUN while :; do sleep 0.10203; done\nFROM busybox AS b\nRUN sleep 1; echo no; exit 4\n"
    text += "FROM a\nCOPY --from=b /x /\n"
    folder = make_context(engine, text, {})
    failed = engine.rl("build", "--network", "none", str(folder), check=1)
    assert "did not complete successfully: exit code: 4\nDockerfile:4\n" in failed.stderr
    assert "[b] no\n" in failed.stdout
    wait_until(lambda: not is_step_there(engine), 20, "the other step has ended")
    wait_until(lambda: engine.rl("ps", "-aq").stdout == "", 20, "its container is gone")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_ctrl_c_and_kill_end_all_of_them(engine: Engine, number: int) -> None:
    step = "RUN while :; do sleep 0.10203; done\n"
    folder = make_context(engine, f"FROM busybox AS a\n{step}FROM busybox AS b\n{step}FROM a\nCOPY --from=b /x /\n", {})
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = engine.start("build", "--network", "none", str(folder), process_group=0, **streams)
    wait_for_step(engine)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    wait_until(lambda: not engine.processes(), 20, "all processes have ended")
    wait_until(lambda: not is_step_there(engine), 20, "the steps have ended")
    assert engine.rl("ps", "-aq").stdout == ""


def test_platforms_and_arguments(engine: Engine) -> None:
    text = """ARG WHERE=global
ARG TARGETARCH
FROM --platform=$BUILDPLATFORM busybox AS tool
ARG TARGETARCH
ARG BUILDPLATFORM
ARG WHERE
ARG OWN=$WHERE-own
ARG HTTP_PROXY
RUN echo "$TARGETARCH $BUILDPLATFORM $WHERE $OWN $UNNAMED" > /args; echo "$NO_PROXY" > /proxy
FROM scratch
COPY --from=tool /args /proxy /
"""
    folder = make_context(engine, text, {})
    given = ("--platform", "linux/arm64/v8", "--build-arg", "NO_PROXY=secret-proxy", "--build-arg", "UNNAMED=x")
    build(engine, *given, str(folder))
    image = json.loads(engine.rl("inspect", "app").stdout)[0]
    assert (image["Os"], image["Architecture"]) == ("linux", "arm64")
    assert "secret-proxy" not in engine.rl("history", "--no-trunc", "app").stdout
    assert len(image["RootFS"]["Layers"]) == 1
    engine.rl("create", "--name", "box", "app", "x")
    engine.rl("cp", "box:/args", "box:/proxy", str(engine.folder / "r"), check=None)
    engine.rl("cp", "box:/args", str(engine.folder / "r" / "args"))
    engine.rl("cp", "box:/proxy", str(engine.folder / "r" / "proxy"))
    machine = json.loads(engine.rl("inspect", "busybox").stdout)[0]["Architecture"]
    assert (engine.folder / "r" / "args").read_text() == f"arm64 linux/{machine} global global-own \n"
    assert (engine.folder / "r" / "proxy").read_text() == "secret-proxy\n"
    other = ("--platform", "linux/arm64/v8", "--build-arg", "NO_PROXY=another", "--build-arg", "UNNAMED=y")
    again = build(engine, *other, str(folder))
    assert again.count("Using cache") == 2
    assert "[Warning] One or more build-args [UNNAMED] were not consumed" in again
    assert "invalid platform" in engine.rl("build", "--platform", "a/b/c/d", str(folder), check=1).stderr


def test_files_of_a_stage_are_known_by_content(engine: Engine) -> None:
    text = "FROM busybox AS a\nARG X\nRUN echo $X > /other && echo same > /file && touch -d @{time} /file\n"
    text += "FROM busybox\nCOPY --from=a /file /f\nRUN true > /g\n"
    folder = make_context(engine, text.format(time=1), {})
    build(engine, str(folder))
    make_context(engine, text.format(time=2), {})
    assert build(engine, "--build-arg", "X=2", str(folder)).count("Using cache") == 2
    make_context(engine, text.format(time=2).replace("same", "changed"), {})
    assert build(engine, "--build-arg", "X=2", str(folder)).count("Using cache") == 0
    make_context(engine, text.format(time=2).replace("touch", "chown 3 /file && touch"), {})
    assert build(engine, "--build-arg", "X=2", str(folder)).count("Using cache") == 0


def test_the_cache_of_a_stage_may_be_left_out(engine: Engine) -> None:
    folder = make_context(engine, "FROM busybox AS a\nRUN echo 1 > /x\nFROM a AS b\nRUN echo 2 > /y\n", {})
    build(engine, str(folder))
    assert build(engine, "--no-cache-filter", "B", str(folder)).count("Using cache") == 1
    assert build(engine, "--no-cache-filter", "a,b", str(folder)).count("Using cache") == 0
    assert build(engine, str(folder)).count("Using cache") == 2


def test_triggers_run_in_child_builds(engine: Engine) -> None:
    text = "FROM busybox\nONBUILD COPY a /from/base\nONBUILD RUN echo trigger > /t\nONBUILD ENV A=b\n"
    folder = make_context(engine, text, {"a": "1"})
    engine.rl("build", "-q", "-t", "base", str(folder))
    make_context(engine, "FROM base\nRUN echo $A > /after\n", {})
    build(engine, str(folder))
    assert look(engine, "cat /from/base; echo; cat /t /after") == ["1", "trigger", "b"]
    assert not json.loads(engine.rl("inspect", "app").stdout)[0]["Config"].get("OnBuild")


def test_volumes_commands_and_the_entrypoint(engine: Engine) -> None:
    folder = make_context(engine, 'FROM busybox\nCMD ["base"]\nVOLUME /v $V\nVOLUME ["/a b"]\nEXPOSE 80 $P 90-92/UDP\n', {})
    engine.rl("build", "-q", "-t", "base", str(folder))
    make_context(engine, 'FROM base\nENTRYPOINT ["/bin/echo"]\nUSER 5\nWORKDIR /x\nWORKDIR y\nENV a=1 b=$a\nENV c=$a\n', {})
    build(engine, str(folder))
    config = json.loads(engine.rl("inspect", "app").stdout)[0]["Config"]
    assert (config.get("Cmd"), config["Entrypoint"], config["WorkingDir"], config["User"]) == (None, ["/bin/echo"], "/x/y", "5")
    assert set(config["Volumes"]) == {"/v", "/a b"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp", "91/udp", "92/udp"}
    for line in ("EXPOSE x", "EXPOSE 99999", "EXPOSE 9-8", "STOPSIGNAL SIGNONE", "EXPOSE 80/xyz"):
        make_context(engine, f"FROM busybox\n{line}\n", {})
        assert ">>> " + line in engine.rl("build", str(folder), check=1).stderr
    assert [one for one in config["Env"] if not one.startswith("PATH")] == ["a=1", "b=", "c=1"]
