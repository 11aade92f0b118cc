"""Completion in a shell, of verbs, options and names."""

import os
import subprocess
import sys

import pytest

from tests.support.engine import Engine
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

BIN = os.path.dirname(sys.executable)


def complete(engine: Engine, *words: str) -> list[str]:
    """Return what bash offers for the last word, by the script that a user sources."""
    listed = " ".join(f"'{word}'" for word in words)
    script = f"source <(rl completion bash); COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _rl_completion rl; "
    environment = {**engine.environment, "PATH": f"{BIN}:{engine.environment['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        env=environment, cwd=engine.folder, capture_output=True, text=True, check=True, **drop_privileges(),
    )  # fmt: skip
    return done.stdout.split()


def test_bash_completes_verbs_options_and_names(engine: Engine) -> None:
    engine.rl("create", "--name", "first", "busybox")
    engine.rl("create", "--name", "second", "busybox")
    engine.rl("volume", "create", "data")
    assert {"rename", "rm", "rmi", "run"} <= set(complete(engine, "rl", "r"))
    assert "prune" in complete(engine, "rl", "image", "")
    assert "--read-only" in complete(engine, "rl", "run", "--rea")
    assert complete(engine, "rl", "rm", "fi") == ["first"]
    assert complete(engine, "rl", "rm", "first", "") == ["second"]
    assert complete(engine, "rl", "rmi", "bu") == ["busybox", "busybox:latest"]
    assert complete(engine, "rl", "volume", "inspect", "") == ["data"]
    assert "second:" in complete(engine, "rl", "cp", "sec")
    assert complete(engine, "rl", "rename", "first", "") == []


@pytest.mark.parametrize(("shell", "says"), [("bash", "complete -o"), ("zsh", "#compdef rl"), ("fish", "complete --no-files")])
def test_every_shell_has_a_script(engine: Engine, shell: str, says: str) -> None:
    assert says in engine.rl("completion", shell).stdout
    word = "vers" if shell == "fish" else "1"
    answer = engine.rl(env={"_RL_COMPLETE": f"{shell}_complete", "COMP_WORDS": "rl vers", "COMP_CWORD": word})
    assert "version" in answer.stdout


def test_an_unknown_shell_is_refused(engine: Engine) -> None:
    assert "choose one of bash, zsh, fish" in engine.rl("completion", "tcsh", check=1).stderr
