"""The monitor: one process a container, a fork of the command that starts it, which it outlives.

It owns the container's exit status, log, socket and terminal, and the helper processes; it ends with the container. What it learns
goes into the container's document before anybody is told. The order of a start is drawn in `rootless.runtime.stage`.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final, NoReturn

from rootless import events
from rootless.containers import bundle, clock, documents
from rootless.containers.bundle import Bundle
from rootless.containers.clients import Actions, Clients, failure_reply
from rootless.containers.documents import Document
from rootless.containers.endpoint import Endpoint
from rootless.containers.lock import ContainerLock
from rootless.containers.loop import Loop
from rootless.containers.servers import Servers
from rootless.containers.store import ContainerStore
from rootless.containers.streams import Streams
from rootless.errors import CannotInvoke, CommandNotFound, RlError, os_error_text
from rootless.linux.process import ProcessId, become_subreaper, boot_id, close_all_except, identify, set_command_line, set_name
from rootless.linux.sockets import socket
from rootless.locations import Locations, fallback_runtime_dir
from rootless.namespaces.idmap import write_by_kernel
from rootless.namespaces.parent import add_member, child_maps, fork_into_parent, remove_member
from rootless.runtime import launch
from rootless.runtime.interpreter import engine_maps
from rootless.runtime.process import complete
from rootless.runtime.stage import StagePlan
from rootless.storage import drivers, trash

_KILLED: Final = 137
_ENGINE_LOG: Final = "engine.log"
_LAST_WORDS: Final = 2000  # bytes


def fork_monitor(
    locations: Locations, document: Document, lock: ContainerLock, starter: socket, console_size: tuple[int, int] | None
) -> int:
    """Fork the monitor that starts a container and watches it; returns its PID.

    The monitor takes the lock over and serves the other end of `starter`; the caller, single-threaded, closes its own
    copies of both.
    """
    pid = os.fork()
    if pid == 0:
        _be_monitor(locations, document, lock, starter, console_size)
    return pid


def _be_monitor(
    locations: Locations, document: Document, lock: ContainerLock, starter: socket, console_size: tuple[int, int] | None
) -> NoReturn:
    status = 1
    try:
        os.setsid()
        set_name(b"rl-monitor")
        set_command_line(f"rl monitor {document['Name'].lstrip('/')} {document['Id'][:12]}".encode())
        become_subreaper()
        _settle_signals()
        os.umask(0o022)  # the container's name files and mount points are for all of its users
        close_all_except({0, 1, 2, starter.fileno(), *({lock.descriptor} if lock.descriptor >= 0 else ())})
        errors = _redirect_streams(f"{locations.containers}/{document['Id']}/{_ENGINE_LOG}")
        Monitor(locations, document, lock, errors).run(starter, console_size)
        status = 0
    except Exception as error:  # our last chance to tell
        _log_failure(error)
    finally:
        os._exit(status)


def _settle_signals() -> None:
    """Ignore what a terminal or a log-out sends, and let the rest come that the starter has held back (see `lifecycle.held`)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _log_failure(error: Exception) -> None:
    """Write an error to engine.log, our standard error; a defect of ours with its traceback, so that it can be found."""
    if isinstance(error, RlError):
        text = error.message
    elif isinstance(error, OSError):
        text = os_error_text(error)
    else:
        import traceback

        text = "".join(traceback.format_exception(error)).rstrip()
    with contextlib.suppress(OSError):  # a full disk: nothing else can be told it
        os.write(2, f"monitor: {text}\n".encode())


def _redirect_streams(path: str) -> int:
    """Turn standard input and output to /dev/null and errors to a file in the container's folder; returns the file."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    errors = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for stream, descriptor in enumerate((null, null, errors)):
        os.dup2(descriptor, stream)
    os.close(null)
    return errors


class Monitor:
    """One start of one container."""

    def __init__(self, locations: Locations, document: Document, lock: ContainerLock, errors: int) -> None:
        self._locations = locations
        self._document = document
        self._lock = lock
        self._store = ContainerStore(locations)
        self._folder = self._store.folder(document["Id"])
        self._loop = Loop(_log_failure)
        self._streams = Streams(self._loop, document["LogPath"])
        # Docker's StdinOnce: the input of `run -i` ends with the command that was attached first.
        lost = self._streams.end_input if document["Config"]["StdinOnce"] else lambda: None
        streams = self._streams
        left, renamed = self._on_client_left, self._on_rename
        actions = Actions(streams.write_input, streams.end_input, lost, streams.resize, streams.resume_output, left, renamed)
        self._clients = Clients(self._loop, actions)
        self._streams.connect(self._clients)
        self._servers = Servers(locations, self._loop, errors, self._on_server_lost)
        runtime_dirs = [locations.runtime_dir, fallback_runtime_dir(os.geteuid())]
        self._endpoint = Endpoint(self._loop, runtime_dirs, document["Id"], self._clients.add)
        self._init: ProcessId | None = None
        self._pidfd = -1
        self._error = ""
        self._ended = False
        self._log_start = os.fstat(errors).st_size

    def run(self, starter: socket, console_size: tuple[int, int] | None) -> None:
        """Start the container, serve until its end, and leave everything in order."""
        self._clients.add_starter(starter)
        try:
            self._start(console_size)
        except (RlError, OSError) as error:
            self._report_failure(error)
            return
        except Exception as error:  # a defect of ours: who waits must learn of it, too
            _log_failure(error)
            self._report_failure(RlError(f"a defect of rl: {error!r}"))
            return
        self._clients.reply_to_starter({})
        while not self._ended:
            self._loop.run_once(None)
        self._finish()

    def _start(self, console_size: tuple[int, int] | None) -> None:
        document = self._document
        self._servers.begin(document)
        prepared = bundle.prepare(self._locations, document, console_size)
        stdio = None if document["Config"]["Tty"] else self._streams.open_pipes(document["Config"]["OpenStdin"])
        plan = self._with_secret_variables(self._with_sources(self._plan(prepared, stdio)))
        runtime_dir = self._locations.runtime_dir
        fork: Callable[[Callable[[], None]], int] = lambda outer: fork_into_parent(runtime_dir, outer)  # noqa: E731 - as in `_plan`
        created = launch.create(fork, plan, self._servers.watcher(prepared.network), self._servers.wait_for)
        add_member(runtime_dir, created.init)
        self._streams.close_container_ends()
        self._init, self._pidfd = created.init, created.pidfd
        self._servers.guard(created.pidfd)
        if created.master is not None:
            self._streams.take_terminal(created.master)
        self._endpoint.open(self._note_moved)
        self._note_running(created.init)
        entry = launch.start(created)
        bundle.write_config(self._folder, {**prepared.spec, "process": complete(prepared.spec["process"], created.known)})
        if entry != created.init:
            self._document["Rl"]["Entry"] = list(entry)
            documents.write(self._folder, self._document)
        events.emit_container(self._locations, document, "start")
        self._streams.begin()
        self._loop.watch(self._pidfd, 1, lambda _events: self._on_init_ended())

    def _plan(self, prepared: Bundle, stdio: tuple[int, int, int] | None) -> StagePlan:
        driver, network = drivers.load(self._document["Driver"]), prepared.network
        mount_root: Callable[[], list[int]] = lambda: driver.mount(prepared.root)  # noqa: E731 - a value of the plan
        return StagePlan(
            prepared.spec,
            prepared.root.mount_point,
            self._document["Rl"]["User"],
            prepared.capability_names,
            mount_root,
            lambda: bundle.make_network(network),
            prepared.seccomp_filter,
            stdio,
            prepared.reaper,
            engine_maps(),
            lambda pid: write_by_kernel(pid, child_maps()),
        )

    def _with_sources(self, plan: StagePlan) -> StagePlan:
        """Add what the stage makes for the container's mounts."""
        if "Staging" not in self._document["Rl"]:
            return plan
        from rootless.containers import staging  # only for volumes and their like

        staging.check_not_shared(self._locations, self._document)
        wanted = staging.Staging(self._locations, self._document)
        if wanted.has_overlays:
            staging.discard_overlays(self._locations, self._document["Id"])  # of a start whose monitor was killed
        return plan._replace(make_sources=wanted.make, owned=wanted.owned)

    def _with_secret_variables(self, plan: StagePlan) -> StagePlan:
        """Add secrets to the environment that init gets, and to nothing that is written down."""
        if "SecretVariables" not in self._document["Rl"]:
            return plan
        from rootless.containers.secrets_of_container import environment_of  # rarely asked for

        process = plan.spec["process"]
        env = [*process["env"], *environment_of(self._document)]
        return plan._replace(spec={**plan.spec, "process": {**process, "env": env}})

    def _note_running(self, init: ProcessId) -> None:
        """Write down who runs where, before init is let go: from then on a reader can tell whether we live."""
        own = self._document["Rl"]
        own["Node"], own["BootId"], own["RuntimeDir"] = os.uname().nodename, boot_id(), self._endpoint.folder
        own["Monitor"], own["Init"], own["Entry"] = list(identify(os.getpid())), list(init), list(init)
        if "Staging" in own:
            own["Staging"]["CopyUp"] = []  # done; what the container removes from a volume stays removed
        documents.set_running(self._document["State"], init.pid, clock.now())
        documents.write(self._folder, self._document)

    def _note_moved(self) -> None:
        """Write down where the socket is now."""
        self._document["Rl"]["RuntimeDir"] = self._endpoint.folder
        documents.write(self._folder, self._document)

    def _on_rename(self, name: str) -> None:
        """Write down the name that a command has claimed for the container."""
        self._document["Name"] = f"/{name}"
        documents.write(self._folder, self._document)

    def _on_client_left(self) -> None:
        self._endpoint.resume()

    def _report_failure(self, error: RlError | OSError) -> None:
        """Note a start that failed, tell the starter, and take everything down."""
        message = (os_error_text(error) if isinstance(error, OSError) else error.message) + self._last_words()
        status = error.exit_status if isinstance(error, RlError) else RlError.exit_status
        state = self._document["State"]
        never_started = not isinstance(error, CommandNotFound | CannotInvoke) or state["StartedAt"] == documents.NEVER
        documents.set_exited(state, status, message, clock.now())
        if never_started or state["Status"] == "exited":
            state["Status"] = "created"
        trashed = self._write_end()
        self._take_down()
        self._lock.release()
        self._clients.reply_to_starter(failure_reply(error))
        self._clients.announce_end({"status": status, "error": message})
        self._delete(trashed)
        self._clients.wait_until_gone()

    def _last_words(self) -> str:
        """Return what our processes wrote to engine.log during this start, as an addition to an error's text."""
        with open(f"{self._folder}/{_ENGINE_LOG}", "rb") as file:
            file.seek(self._log_start)
            text = file.read(_LAST_WORDS).decode("utf-8", "replace").strip()
        return f" ({text})" if text else ""

    def _on_server_lost(self, reason: str) -> None:
        """End a container that lost a server it cannot live without."""
        self._error = reason
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _on_init_ended(self) -> None:
        self._ended = True

    def _finish(self) -> None:
        """Deliver everything that the container wrote, write its end down, tell the clients, and take the rest down.

        The lock is held until no server of ours touches the container's files any more.
        """
        status = self._reap_init()
        self._error = self._error or self._servers.why_lost()
        if self._error:
            status = _KILLED
        self._streams.drain()
        documents.set_exited(self._document["State"], status, self._error, clock.now())
        events.emit_container(self._locations, self._document, "die", exitCode=str(status))
        trashed = self._write_end()
        self._clients.announce_end({"status": status, "error": self._error})
        self._take_down()
        self._lock.release()
        self._delete(trashed)
        self._clients.wait_until_gone()

    def _reap_init(self) -> int:
        self._loop.forget(self._pidfd)
        assert self._init is not None
        _pid, wait_status = os.waitpid(self._init.pid, 0)
        code = os.waitstatus_to_exitcode(wait_status)
        return code if code >= 0 else 128 - code

    def _take_down(self) -> None:
        self._servers.end()
        self._endpoint.close()
        if self._init is not None:
            remove_member(self._locations.runtime_dir, self._init)
        self._streams.close()
        launch.reap_orphans()

    def _write_end(self) -> str | None:
        """Write the end down, or with --rm remove name and record; returns the files that are to be deleted."""
        own = self._document["Rl"]
        own["Monitor"] = own["Init"] = own["Entry"] = None
        if self._document["HostConfig"]["AutoRemove"]:
            return self._store.remove_record(self._document)
        try:
            documents.write(self._folder, self._document)
        except OSError as error:  # whoever reads the record next finds us gone, and notes an end
            _log_failure(error)
        return None

    def _delete(self, trashed: str | None) -> None:
        if trashed is not None:
            trash.delete(self._locations, trashed)
        elif "Staging" in self._document["Rl"]:
            from rootless.containers import staging  # as above

            staging.discard_overlays(self._locations, self._document["Id"])


