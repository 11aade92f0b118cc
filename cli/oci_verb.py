"""What the verbs of `rl oci` share: the options before the verb, the log, and errors as OCI runtimes report them.

An engine that calls us reads standard error, and the file that it names with --log: with --log-format json one object a line.
Every error exits with 1, as runc's and crun's do: what is above belongs to a container's process.
"""

import json
import os
import sys
import time
from typing import Any, Final, NamedTuple

import click

from rootless.errors import RlError, os_error_text
from rootless.locations import from_environment
from rootless.runtime.oci.state import Folder

_FAILED: Final = 1


class Settings(NamedTuple):
    """The options before the verb."""

    root: str
    log: str | None
    log_format: str
    debug: bool
    cgroups: bool

    def folder(self, container_id: str) -> Folder:
        """Return the state folder of a container. Raises `InvalidInput`."""
        return Folder(self.root, container_id)

    def warn(self, text: str) -> None:
        """Tell of something that does not end the command."""
        self._say("warning", text)

    def fail(self, text: str, hint: str | None = None) -> int:
        """Tell why the command ends; returns its exit status."""
        self._say("error", text, hint)
        return _FAILED

    def _say(self, level: str, text: str, hint: str | None = None) -> None:
        prefix = "rl: warning: " if level == "warning" else "rl: "
        print(prefix + text, *([f"hint: {hint}"] if hint else []), sep="\n", file=sys.stderr)  # noqa: T201
        if self.log is not None and self.log != "/dev/stderr":
            self._write_log(level, f"{text} ({hint})" if hint else text)

    def _write_log(self, level: str, text: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.log_format == "json":
            line = json.dumps({"level": level, "msg": text, "time": now})
        else:
            line = f"time={json.dumps(now)} level={level} msg={json.dumps(text)}"
        assert self.log is not None
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            print(f"rl: cannot write the log: {os_error_text(error)}", file=sys.stderr)  # noqa: T201


def seccomp_cache() -> str:
    """Return the folder of compiled filters, which all of the engine shares."""
    return f"{from_environment(os.environ, os.geteuid()).data_root}/seccomp"


class OciVerb(click.Command):
    """A command that reports errors as OCI runtimes do; its callback gets the `Settings` first, and may return a status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; returns its exit status."""
        settings: Settings = ctx.obj
        try:
            return ctx.invoke(self.callback, settings, **ctx.params) if self.callback else None
        except RlError as error:
            if settings.debug:
                raise
            return settings.fail(error.message, error.hint)
        except OSError as error:
            if settings.debug:
                raise
            return settings.fail(os_error_text(error))
