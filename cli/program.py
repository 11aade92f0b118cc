"""The program `rl`: the group of verbs, loaded one at a time, and the one place where errors become exit statuses.

Nothing is imported here that `rl run` does not need: a module is loaded when its verb is called.
"""

import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

# isort: off
from cli import lean_click  # noqa: F401 - before click: see there
import click
# isort: on

from cli import interrupt
from cli.complaints import complain
from cli.invocation import Invocation
from cli.lazy_group import LazyGroup
from cli.several import FAILED
from rootless.errors import ENGINE_ERROR, RlError, os_error_text

if TYPE_CHECKING:
    from rootless.containers.standby import Standby

# verb -> module under cli.commands; each module's `command` is the click command.
VERBS = {
    "attach": "attach",
    "build": "build",
    "builder": "builder",
    "clone": "clone",
    "commit": "commit",
    "completion": "completion",
    "container": "container",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "events": "events",
    "exec": "exec",
    "export": "export",
    "healthcheck": "healthcheck",
    "history": "history",
    "image": "image",
    "images": "images",
    "import": "import_image",
    "info": "info",
    "init": "init",
    "inspect": "inspect",
    "kill": "kill",
    "load": "load",
    "login": "login",
    "logout": "logout",
    "logs": "logs",
    "manifest": "manifest",
    "oci": "oci",
    "port": "port",
    "pod": "pod",
    "ps": "ps",
    "pull": "pull",
    "push": "push",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "rmi": "rmi",
    "run": "run",
    "save": "save",
    "search": "search",
    "secret": "secret",
    "start": "start",
    "stop": "stop",
    "system": "system",
    "tag": "tag",
    "top": "top",
    "unshare": "unshare",
    "untag": "untag",
    "update": "update",
    "version": "version",
    "volume": "volume",
    "wait": "wait",
}

# Verbs that put processes into containers.
_ENTERING = frozenset({"build", "builder", "clone", "container", "exec", "healthcheck", "init", "pod", "restart", "run", "start"})

_OS_HINTS = {
    errno.ENOSPC: "free some space, or use another data root: --root DIR or RL_ROOT",
    errno.EDQUOT: "your disk quota is used up: free some space, or use another data root: --root DIR or RL_ROOT",
    errno.EROFS: "use a data root that can be written: --root DIR or RL_ROOT",
    errno.EACCES: "check the owner and mode of that path, or use another data root: --root DIR or RL_ROOT",
}


@click.group(cls=LazyGroup, modules=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--root", metavar="DIR", help="The data root (images, containers); also RL_ROOT.")
@click.option("--runroot", metavar="DIR", help="The runtime directory (sockets); also RL_RUNROOT.")
@click.option("--storage-driver", metavar="NAME", help="overlay, fuse or vfs; also RL_STORAGE_DRIVER.")
def rl(debug: bool, root: str | None, runroot: str | None, storage_driver: str | None) -> None:
    """Run containers as a normal user: no daemon, no root."""
    for variable, value in (("RL_ROOT", root), ("RL_RUNROOT", runroot), ("RL_STORAGE_DRIVER", storage_driver)):
        if value is not None:
            os.environ[variable] = value
    if debug:
        os.environ["RL_DEBUG"] = "1"
    if click.get_current_context().invoked_subcommand in _ENTERING:
        from rootless.runtime.interpreter import engine_maps, protect  # verbs that only look need no part of the runtime

        protect(engine_maps())


def run(arguments: list[str], standby: "Standby | None") -> NoReturn:
    """Run the command line and leave by os._exit after flushing: a normal interpreter exit costs 10 ms."""
    status = _status_of(arguments, standby)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # the reader is gone: nothing to tell it
            status = status or 1
        except OSError as error:
            status = status or 1
            os.write(2, f"rl: cannot write the output: {os.strerror(error.errno or 0)}\n".encode())
    os._exit(status)


def _status_of(arguments: list[str], standby: "Standby | None") -> int:
    """Run the command line and return its exit status; a command returns its own status, or None for 0."""
    invocation = Invocation([], standby)
    called = invocation.called
    try:
        interrupt.raise_from_now_on()
        result = rl.main(arguments, prog_name="rl", standalone_mode=False, obj=invocation)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.exceptions.NoArgsIsHelpError as error:  # a group alone
        print(error.format_message())  # noqa: T201
        return 0
    except click.ClickException as error:
        error.show()
        return _usage_status(error)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except RlError as error:
        _report(error.message, error.hint)
        return _engine_status(called) if error.exit_status == ENGINE_ERROR else error.exit_status
    except BrokenPipeError:
        return 1
    except OSError as error:
        if os.environ.get("RL_DEBUG"):
            raise
        _report(os_error_text(error), _OS_HINTS.get(error.errno or 0))
        return _engine_status(called)
    return result if isinstance(result, int) else 0


def _engine_status(called: list[str]) -> int:
    """Return Docker's status for an error of the engine: `run` keeps 1 for the container's command."""
    return ENGINE_ERROR if called[-1:] == ["run"] else FAILED


def _usage_status(error: click.ClickException) -> int:
    """Return Docker's status for a wrong command line: 125 for its options, 1 for its verb and arguments."""
    if isinstance(error, click.MissingParameter):
        return FAILED
    is_of_option = isinstance(error, click.NoSuchOption | click.BadOptionUsage | click.BadParameter)
    return ENGINE_ERROR if is_of_option else FAILED


def _report(message: str, hint: str | None) -> None:
    """Print an error as `rl: …` and its hint on a line of its own; with --debug the traceback, too."""
    if os.environ.get("RL_DEBUG"):
        import traceback  # only to debug: 4 ms

        traceback.print_exc()
    complain(message, hint)

