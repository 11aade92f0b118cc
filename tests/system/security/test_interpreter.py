"""CVE-2019-5736: a container must not get hold of our interpreter's file, where it could write to it.

The interpreter is a copy that belongs to the user, as those of pyenv, conda and uv do: the container's root owns it.
"""

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")


class OwnPython:
    """An engine that runs by an interpreter of the user's own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        folder = engine.folder / "python"
        (folder / "bin").mkdir(parents=True)
        self.file = folder / "bin" / "python3"
        shutil.copy(os.path.realpath(sys.executable), self.file)
        (folder / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
        library = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        library.parent.mkdir(parents=True)
        library.symlink_to(sysconfig.get_path("purelib"))
        for path in (folder, folder / "bin", self.file):
            os.chown(path, USER.pw_uid, USER.pw_gid)
        self.file.chmod(0o755)
        self._before = (self.file.read_bytes(), self.file.stat().st_mode)

    def rl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `rl` by this interpreter; how it ends is the attacker's to say."""
        command = [str(self.file), "-I", "-m", "cli", *arguments]
        return subprocess.run(
            command, env=self.engine.environment, cwd=self.engine.folder, capture_output=True, text=True, check=False, timeout=60,
            **drop_privileges(),
        )  # fmt: skip

    def check_unchanged(self) -> None:
        """Fail if the attack has succeeded."""
        assert stat.filemode(self.file.stat().st_mode) == stat.filemode(self._before[1])
        assert self.file.read_bytes() == self._before[0]


@pytest.fixture
def own_python(hostile: Engine) -> Iterator[OwnPython]:
    python = OwnPython(hostile)
    hostile.rl("run", "--rm", "-v", f"{hostile.folder}/shared:/shared", *NONE, "hostile", "sh", "-c", SCRIPT)
    yield python
    python.check_unchanged()
    shutil.rmtree(python.file.parents[1])


# A command that is our own interpreter by its name, by a link, and as the interpreter of a script.
SCRIPT = "ln -sf /proc/self/exe /shared/link; printf '#!/proc/self/exe\\n' >/shared/script; chmod 755 /shared/script"
COMMANDS = ("/proc/self/exe", "/shared/link", "/shared/script", "/proc/thread-self/exe")


def held(ended: subprocess.CompletedProcess[str]) -> str:
    """Return which executable the attacker got hold of; that it did shows that the attack was one."""
    assert "LEAK" not in ended.stdout + ended.stderr
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("holds "))
    return line.removeprefix("holds ")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("options", [(), ("--init",)])
def test_run(own_python: OwnPython, command: str, options: tuple[str, ...]) -> None:
    shared = f"{own_python.engine.folder}/shared:/shared"
    ended = own_python.rl("run", "--rm", "-v", shared, *NONE, *options, "hostile", command)
    assert held(ended).startswith("/memfd:")


@pytest.mark.parametrize("command", COMMANDS)
def test_exec(own_python: OwnPython, command: str) -> None:
    shared = f"{own_python.engine.folder}/shared:/shared"
    own_python.engine.rl("run", "-d", "--name", "box", "-v", shared, *NONE, "hostile", "sleep", "100")
    assert held(own_python.rl("exec", "box", command)).startswith("/memfd:")


def test_start(own_python: OwnPython) -> None:
    own_python.engine.rl("run", "--name", "box", *NONE, "--entrypoint", "/proc/self/exe", "hostile", check=None)
    assert held(own_python.rl("start", "-a", "box")).startswith("/memfd:")


def test_the_system_s_interpreter_is_not_copied(hostile: Engine) -> None:
    """No container's ID may write to it: the attacker holds the very file, and can do nothing."""
    ended = hostile.rl("run", "--rm", *NONE, "hostile", "/proc/self/exe", check=None)
    assert "LEAK" not in ended.stdout
    assert f"holds {os.path.realpath(sys.executable)}" in ended.stdout


def test_a_program_that_forgets_to_protect_itself_is_refused(own_python: OwnPython) -> None:
    script = "from rootless.runtime.interpreter import check_protected, engine_maps; check_protected(engine_maps())"
    command = [str(own_python.file), "-I", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, **drop_privileges())
    assert "containers could change the Python interpreter" in ended.stderr


def test_processes_of_ours_that_enter_are_closed(hostile: Engine) -> None:
    """Between entering and executing the command, as seen by somebody inside who looks as often as he can."""
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "/attacker", "watch", "6")
    for options in ((), ("-u", "user"), ("-t",)) * 4:
        hostile.rl("exec", *options, "box", "true")
    hostile.rl("wait", "box")
    words = hostile.rl("logs", "box").stdout
    assert "watched" in words
    assert "LEAK" not in words


def test_an_init_of_ours_is_closed(hostile: Engine) -> None:
    hostile.rl("run", "-d", "--init", "--name", "box", *NONE, "hostile", "sleep", "1000")
    for user in ("root", "user"):
        assert hostile.rl("exec", "-u", user, "box", "/attacker", "pry", "1").stdout == "pried\n"
    hostile.rl("exec", "box", "sh", "-c", "kill -9 1; kill -9 -1", check=None)
    assert hostile.state("box")["ExitCode"] in (0, 137)


