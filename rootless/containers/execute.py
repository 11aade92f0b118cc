"""`exec`: one more process in a running container, watched by a session process of its own.

The session is a fork of the command, as a monitor is: it owns the process's streams and exit status, speaks `frames` with the
command over a socket pair, and lives on when the command is killed. It has no record and no socket of its own. When the session
itself is killed, its process goes on without streams until the container ends, as below a killed conmon.
"""

import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from rootless import events
from rootless.containers import bundle
from rootless.containers.clients import Actions, Clients, failure_reply
from rootless.containers.documents import Document, has_begun
from rootless.containers.lifecycle import Running, not_running, refuse_foreign
from rootless.containers.loop import Loop
from rootless.containers.streams import Streams
from rootless.errors import InUse, RlError
from rootless.linux.own_process import become_subreaper, close_all_except, set_command_line, set_name
from rootless.linux.process import ProcessId, open_pidfd
from rootless.linux.sockets import socket, stream_pair
from rootless.locations import Locations
from rootless.runtime import join
from rootless.runtime.interpreter import engine_maps
from rootless.runtime.security import container_capabilities


class ExecOptions(NamedTuple):
    """Options of `rl exec`."""

    arguments: tuple[str, ...]
    interactive: bool = False
    terminal: bool = False
    environment: tuple[str, ...] = ()  # NAME=VALUE
    user: str | None = None
    workdir: str | None = None
    privileged: bool = False
    preserved: tuple[int, ...] = ()  # descriptors that the command gets under the same numbers, from 3 on


def begin(locations: Locations, document: Document, options: ExecOptions, console_size: tuple[int, int] | None = None) -> Running:
    """Fork the session that runs a command in a container; the caller speaks `frames` with it. Raises `InUse`."""
    plan = plan_of(locations, document, options, console_size)
    words, exec_id = " ".join(options.arguments), os.urandom(32).hex()

    def tell(action: str, **more: str) -> None:
        events.emit_container(locations, document, action, execID=exec_id, **more)

    tell(f"exec_create: {words}")
    ours, theirs = stream_pair()
    pid = os.fork()
    if pid == 0:
        _be_session(plan, options, theirs, tell)
    theirs.close()
    os.close(plan.entry_pidfd)
    return Running(ours, pid)


def plan_of(
    locations: Locations, document: Document, options: ExecOptions, console_size: tuple[int, int] | None = None
) -> join.JoinPlan:
    """Return what the runtime needs to run a command in a container; the caller closes the pidfd. Raises `InUse`."""
    refuse_foreign(document)
    entry = document["Rl"]["Entry"]
    if not has_begun(document["State"]) or entry is None:
        raise not_running(document)
    names = tuple(container_capabilities(privileged=True)) if options.privileged else bundle.capability_names(document)
    seccomp_filter = None if options.privileged else bundle.load_filter(locations, document, names)
    pidfd = open_pidfd(ProcessId(*entry))
    if pidfd is None:
        raise InUse(f"container {document['Id'][:12]} has ended")
    process = _process(document, options, console_size)
    user = options.user if options.user is not None else document["Rl"]["User"]
    return join.JoinPlan(
        pidfd,
        process,
        user,
        names,
        seccomp_filter,
        engine_maps(),
        None,
        options.preserved,
        groups=bundle.additional_groups(document),
        keep_groups=bundle.keeps_groups(document),
    )


def _process(document: Document, options: ExecOptions, console_size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the OCI process: the container's environment with the user's over it."""
    config = document["Config"]
    merged = {entry.partition("=")[0]: entry for entry in (*config["Env"], f"HOSTNAME={config['Hostname']}")}
    if "SecretVariables" in document["Rl"]:
        from rootless.containers.secrets_of_container import environment_of  # rarely asked for

        merged.update((entry.partition("=")[0], entry) for entry in environment_of(document))
    if options.terminal:
        merged.setdefault("TERM", "TERM=xterm")
    merged.update((entry.partition("=")[0], entry) for entry in options.environment)
    process: dict[str, Any] = {
        "terminal": options.terminal,
        "args": list(options.arguments),
        "env": list(merged.values()),
        "cwd": options.workdir or config["WorkingDir"] or "/",
    }
    if bundle.has_rare_options(document):
        from rootless.containers import rare_options  # as above

        process.update(rare_options.process_of(document))
    if console_size is not None:
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    return process


def _be_session(plan: join.JoinPlan, options: ExecOptions, starter: socket, tell: Callable[..., None]) -> NoReturn:
    status = 1
    try:
        os.setsid()
        set_name(b"rl-exec")
        set_command_line(b"rl exec")
        become_subreaper()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # let the rest come that the starter has held back
        close_all_except({0, 1, 2, plan.entry_pidfd, starter.fileno(), *plan.preserved})
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in range(3):
            os.dup2(null, stream)
        os.close(null)
        _Session(plan, options, tell).run(starter)
        status = 0
    finally:
        os._exit(status)


def _ignore(_error: Exception) -> None:
    """Do nothing: the loop drops the stream or client at fault, and a session has no log to tell of it."""


class _Session:
    """One command in a container, and the client that started it."""

    def __init__(self, plan: join.JoinPlan, options: ExecOptions, tell: Callable[..., None]) -> None:
        """`tell` adds to the log of events."""
        self._tell = tell
        self._plan = plan
        self._options = options
        self._loop = Loop(_ignore)
        self._streams = Streams(self._loop)
        streams = self._streams
        actions = Actions(streams.write_input, streams.end_input, streams.end_input, streams.resize, streams.resume_output)
        self._clients = Clients(self._loop, actions)
        self._streams.connect(self._clients)
        self._ended = False

    def run(self, starter: socket) -> None:
        """Run the command, pass its streams on, and report its end."""
        self._clients.add_starter(starter)
        try:
            joined = self._join()
        except (RlError, OSError) as error:
            self._clients.reply_to_starter(failure_reply(error))
            self._clients.announce_end({"status": getattr(error, "exit_status", RlError.exit_status), "error": str(error)})
            self._clients.wait_until_gone()
            return
        self._tell(f"exec_start: {' '.join(self._options.arguments)}")
        self._clients.reply_to_starter({})
        pidfd = os.pidfd_open(joined.pid)
        self._streams.begin()
        self._loop.watch(pidfd, 1, lambda _events: self._on_ended())
        while not self._ended:
            self._loop.run_once(None)
        self._loop.forget(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(joined.pid, 0)[1])
        self._streams.drain()
        status = code if code >= 0 else 128 - code
        self._tell("exec_die", exitCode=str(status))
        self._clients.announce_end({"status": status, "error": ""})
        self._clients.wait_until_gone()

    def _join(self) -> join.Joined:
        stdio = None if self._options.terminal else self._streams.open_pipes(self._options.interactive)
        if stdio is not None and stdio[0] < 0:
            stdio = (0, stdio[1], stdio[2])  # our own standard input is /dev/null by now
        joined = join.create(self._plan._replace(stdio=stdio))
        self._streams.close_container_ends()
        for descriptor in self._plan.preserved:
            os.close(descriptor)
        if joined.master is not None:
            self._streams.take_terminal(joined.master)
        return joined

    def _on_ended(self) -> None:
        self._ended = True
