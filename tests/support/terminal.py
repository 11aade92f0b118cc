"""A terminal for tests: a tmux session of the test user's on a socket of its own, with keys to send and a screen to read."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from tests.support.test_user import drop_privileges

_PAUSE: Final = 0.05  # seconds between two looks at the screen
_OVERLOOKED: Final = 2.0  # seconds
_SESSION: Final = "test"


class Terminal:
    """One tmux server with one session of `columns` by `rows` that runs `command`; `folder` is the test user's, its name short.

    The window stays when the command has ended, so that the last screen can be read.
    """

    def __init__(
        self, folder: Path, command: list[str], environment: dict[str, str] | None = None, columns: int = 100, rows: int = 30
    ) -> None:
        # A name of its own: a server that is ending would take a new client of the same name along.
        self._socket = str(folder / f"tmux-{os.urandom(4).hex()}.sock")
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **(environment or {}),
            "TERM": "screen",  # what tmux gives its programs
            "SHELL": "/bin/sh",
        }
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux(
            "-f", "/dev/null", "start-server", ";", "set", "-g", "remain-on-exit", "on", ";", "set", "-g", "status", "off", ";",
            "new-session", "-d", "-s", _SESSION, *size, shlex.join(command),
        )  # fmt: skip

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def type(self, text: str) -> None:
        """Type a text as it is, with no key at its end."""
        self._tmux("send-keys", "-t", _SESSION, "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, C-c, Up, Escape."""
        self._tmux("send-keys", "-t", _SESSION, "--", *keys)

    def enter(self, text: str) -> None:
        """Type a line and press Enter."""
        self.type(text)
        self.press("Enter")

    def screen(self) -> str:
        """Return what is seen, without the blanks at the ends of lines; a line that was wrapped is whole."""
        return self._tmux("capture-pane", "-p", "-J", "-t", _SESSION).rstrip("\n")

    def wait_for(self, text: str, seconds: float = 15.0) -> str:
        """Wait until `text` is on the screen, and return the screen."""
        deadline = time.monotonic() + seconds
        while text not in (screen := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} is not on the screen within {seconds} s:\n{screen}"
            time.sleep(_PAUSE)
        return screen

    def wait_for_end(self, seconds: float = 15.0) -> int:
        """Wait until the command has ended, and return its exit status (128 + N after a signal)."""
        deadline = time.monotonic() + seconds
        nudged = time.monotonic() + _OVERLOOKED
        # The line's end is seen before the status: both are waited for.
        while not (state := self._format("#{pane_dead_status},#{pane_dead_signal}").split(","))[0] and not state[1]:
            assert time.monotonic() < deadline, f"still running after {seconds} s:\n{self.screen()}"
            if time.monotonic() > nudged:  # on a busy machine the server has overlooked the end of a command
                os.kill(int(self._format("#{pid}")), signal.SIGCHLD)
                nudged += _OVERLOOKED
            time.sleep(_PAUSE)
        return int(state[0]) if state[0] else 128 + int(state[1])

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size; the program gets SIGWINCH."""
        self._tmux("resize-window", "-t", _SESSION, "-x", str(columns), "-y", str(rows))

    def settings(self) -> str:
        """Return the settings of the terminal line as `stty -g` writes them."""
        line = self._format("#{pane_tty}")
        result = subprocess.run(["stty", "-F", line, "-g"], capture_output=True, text=True, check=True, **drop_privileges())
        return result.stdout.strip()

    def close(self) -> None:
        """Close the window as a user closes a terminal: its programs get SIGHUP."""
        self._tmux("kill-session", "-t", _SESSION)

    def kill(self) -> None:
        """End the server and all in it; nothing happens when it has gone."""
        command = ["tmux", "-S", self._socket, "kill-server"]
        subprocess.run(command, env=self._environment, capture_output=True, check=False, timeout=10, **drop_privileges())

    def _format(self, variables: str) -> str:
        return self._tmux("display-message", "-p", "-t", _SESSION, variables).rstrip("\n")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        options = {"capture_output": True, "text": True, "timeout": 10, **drop_privileges()}
        result = subprocess.run(command, check=False, cwd=self._folder, env=self._environment, **options)
        assert result.returncode == 0, f"{shlex.join(command)}: {result.stderr}"
        return result.stdout
