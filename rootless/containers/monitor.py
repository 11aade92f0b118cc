"""The monitor: one process a container, a fork of the command that starts it, which it outlives.

It owns the container's exit status, log, socket and terminal, and the helper processes; it ends with the container. What it learns
goes into the container's document before anybody is told. The order of a start is drawn in `rootless.runtime.stage`.

With a restart policy it makes one run after the other, and keeps the lock, its PID and the socket. Each end is told to all clients,
as in Docker: who was attached or waited is done then. Between two runs the record says restarting, and counts as running.
"""

import os
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rootless import events
from rootless.containers import clock, documents, lifecycle, published_ports
from rootless.containers.clients import Actions, Clients, failure_reply, refuse_unknown
from rootless.containers.documents import Document
from rootless.containers.endpoint import Endpoint
from rootless.containers.engine_log import log_failure
from rootless.containers.lock import ContainerLock
from rootless.containers.log_drivers import open_log
from rootless.containers.loop import Loop, Timer
from rootless.containers.run import Run
from rootless.containers.store import ContainerStore
from rootless.containers.streams import Log
from rootless.errors import CannotInvoke, CommandNotFound, InUse, RlError, status_of, text_of
from rootless.linux.namespaces import mount_namespace_id
from rootless.linux.process import ProcessId, boot_id, identify
from rootless.linux.sockets import socket
from rootless.locations import Locations, fallback_runtime_dir
from rootless.storage import trash

if TYPE_CHECKING:
    from rootless.containers.health_checks import HealthChecks
    from rootless.networks.listening import Listeners


class Monitor:
    """The runs of one container; `Surroundings` of each."""

    def __init__(
        self,
        locations: Locations,
        document: Document,
        lock: ContainerLock,
        errors: int,
        *,
        holds: bool = False,
        passed: tuple[int, int, int] | None = None,
    ) -> None:
        self.locations = locations
        self.document = document
        self.errors = errors
        self.log: Log | None = None
        self.passed = passed
        self.published: Listeners | None = None
        self._lock = lock
        self._store = ContainerStore(locations)
        self._folder = self._store.folder(document["Id"])
        self.loop = Loop(log_failure)
        self.clients = Clients(self.loop, self._actions())
        runtime_dirs = [locations.runtime_dir, fallback_runtime_dir(os.geteuid())]
        self._endpoint = Endpoint(self.loop, runtime_dirs, document["Id"], self.clients.add)
        self._run = Run(self)
        self._holds = holds  # init, until somebody asks for the start
        self._failure: RlError | OSError | None = None  # of that start
        self._is_reachable = False
        self._stop_asked = False  # by the user: no restart
        self._restart_asked = False
        self._keeps_record = False
        self._awake = False
        self._started = 0.0
        self._delay = 0.0  # before the last restart
        self._kill_timer: Timer | None = None
        self._health: HealthChecks | None = None

    def run(self, starter: socket, console_size: tuple[int, int] | None) -> None:
        """Start the container, serve until its end, and leave everything in order."""
        self.clients.add_starter(starter)
        own = self.document["Rl"]
        own["StoppedByUser"], self.document["RestartCount"] = False, 0
        failure = self._try_to_start(console_size)
        if failure is not None:
            self._report_failure(failure)
            return
        self.clients.reply_to_starter({})
        if "EndsWith" in own:
            from rootless.containers import maker  # steps of builds only

            maker.watch(self.loop, self.document, self._end_for_good)
        while True:
            while not self._run.ended:
                self.loop.run_once(None)
            status, error = self._finish_run()
            if self._failure is not None:
                status, error = status_of(self._failure), text_of(self._failure)
                break
            if not self._is_restart_wanted(status):
                break
            failure = self._restart(status, error)
            if failure is not None:
                status, error = status_of(failure), text_of(failure) + self._run.last_words()
                self._run.take_down()
                break
            if self._run.ended:  # stopped while it waited
                break
        self._end(status, error)

    def _end_for_good(self) -> None:
        """Kill the container, and let it go with its record."""
        self.document["HostConfig"]["AutoRemove"] = self._stop_asked = True
        self._run.signal(signal.SIGKILL)

    def _try_to_start(self, console_size: tuple[int, int] | None) -> RlError | OSError | None:
        """Start; returns why that failed. A defect of ours must be told to who waits, too."""
        try:
            self._start(console_size)
        except (RlError, OSError) as error:
            return error
        except Exception as error:
            log_failure(error)
            return RlError(f"a defect of rl: {error!r}")
        return None

    def _start(self, console_size: tuple[int, int] | None) -> None:
        run = self._run
        if self.log is None:
            self.log = open_log(self.document, self._folder, self.loop)
        self.published = self.published or published_ports.bind(self.document)  # over restarts
        init = run.create(console_size)
        if not self._is_reachable:
            self._endpoint.open(self._note_moved)
            self._is_reachable = True
        if self._holds:
            self._holds = False
            self._note_created(init, waits=True)
            events.emit_container(self.locations, self.document, "init")
        else:
            self._note_created(init)
            self._let_go()
        run.watch()

    def _end_publishing(self) -> None:
        """Give the ports back before anybody is told of the end, so that who is told can have them."""
        if self.published is not None:
            self._run.end_network()
            self.published.close()
            self.document["NetworkSettings"]["Ports"] = {}

    def _let_go(self) -> None:
        """Let init, which waits, execute the command, and note who can be joined."""
        entry = self._run.start()
        self._started = time.monotonic()
        if list(entry) != self.document["Rl"]["Entry"]:
            self.document["Rl"]["Entry"] = list(entry)
            documents.write(self._folder, self.document)
        events.emit_container(self.locations, self.document, "start")
        self._run.streams.begin()
        if self.document["Config"].get("Healthcheck"):
            self._check_health()

    def _start_at_last(self) -> dict[str, Any]:
        """Start a container whose init was held; returns the reply. Where it cannot be started, init has ended."""
        init = self.document["Rl"]["Init"]
        if self.document["State"]["Status"] != documents.INITIALIZED or init is None:
            return failure_reply(InUse(f"container {self.document['Id'][:12]} is already running"))
        documents.set_running(self.document["State"], init[0], clock.now())
        try:
            documents.write(self._folder, self.document)
            self._let_go()
        except (RlError, OSError) as error:
            self._failure = error
            self._run.signal(signal.SIGKILL)
            return failure_reply(error)
        return {}

    def _note_created(self, init: ProcessId, *, waits: bool = False) -> None:
        """Write down who runs where, before init is let go: from then on a reader can tell whether we live."""
        own = self.document["Rl"]
        own["Node"], own["BootId"], own["RuntimeDir"] = os.uname().nodename, boot_id(), self._endpoint.folder
        own["Monitor"], own["Init"] = list(identify(os.getpid())), list(init)
        own["Entry"] = None if self.document["HostConfig"]["Init"] else list(init)  # of --init nobody can join the init itself
        if "Staging" in own:
            own["Staging"]["CopyUp"] = []  # done; what the container removes from a volume stays removed
        namespace = self._run.mount_namespace
        own["MountNamespace"] = None if namespace is None else mount_namespace_id(namespace)
        if waits:
            documents.set_initialized(self.document["State"], init.pid)
        else:
            documents.set_running(self.document["State"], init.pid, clock.now())
        if own.get("PidFile"):
            _write_pid(own["PidFile"], init.pid)
        documents.write(self._folder, self.document)

    def _actions(self) -> Actions:
        """Return what clients can do, to the run of the moment."""
        # Docker's StdinOnce: the input of `run -i` ends with the command that was attached first.
        once = bool(self.document["Config"]["StdinOnce"])

        def on_input(content: bytes) -> bool:
            return self._run.streams.write_input(content)

        def on_input_end() -> None:
            self._run.streams.end_input()

        def on_input_lost() -> None:
            if once:
                self._run.streams.end_input()

        def on_resize(rows: int, columns: int) -> None:
            self._run.streams.resize(rows, columns)

        def on_drained() -> None:
            self._run.streams.resume_output()

        return Actions(on_input, on_input_end, on_input_lost, on_resize, on_drained, self._on_client_left, self._on_request)

    def _note_moved(self) -> None:
        """Write down where the socket is now."""
        self.document["Rl"]["RuntimeDir"] = self._endpoint.folder
        documents.write(self._folder, self.document)

    def _on_client_left(self) -> None:
        self._endpoint.resume()

    def _on_request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a client asks; returns the reply."""
        if request["op"] == "begin":
            return self._start_at_last()
        if request["op"] == "rename":
            return self._rename(str(request["name"]))
        if request["op"] == "stop":
            self.document["Rl"]["StoppedByUser"] = self._stop_asked = True
            if request.get("keep"):  # it will be started again: --rm is for the end after that
                self._keeps_record = True
            self._awake = True
        elif request["op"] == "update":
            name, most = request["RestartPolicy"]["Name"], request["RestartPolicy"]["MaximumRetryCount"]
            self.document["HostConfig"]["RestartPolicy"] = {"Name": str(name), "MaximumRetryCount": int(most)}
        elif request["op"] == "health" and self._health is not None:
            self._health.take(*request["outcome"])
            return {"health": self.document["State"]["Health"]}
        else:
            return refuse_unknown(request)
        try:
            documents.write(self._folder, self.document)
        except OSError as error:
            return failure_reply(error)
        return {}

    def _rename(self, name: str) -> dict[str, Any]:
        try:
            self._store.names.move(self.document, name, lambda: documents.write(self._folder, self.document))
        except (RlError, OSError) as error:
            return failure_reply(error)
        return {}

    def _report_failure(self, error: RlError | OSError) -> None:
        """Note a start that failed, tell the starter, and take everything down."""
        message, status = text_of(error) + self._run.last_words(), status_of(error)
        self._end_publishing()
        state = self.document["State"]
        never_started = not isinstance(error, CommandNotFound | CannotInvoke) or state["StartedAt"] == documents.NEVER
        documents.set_exited(state, status, message, clock.now())
        if never_started or state["Status"] == "exited":
            state["Status"] = "created"
        trashed = self._write_end()
        self._take_down()
        self._lock.release()
        self.clients.reply_to_starter(failure_reply(error))
        self.clients.announce_end({"status": status, "error": message})
        self._delete(trashed)
        self.clients.wait_until_gone()

    def _finish_run(self) -> tuple[int, str]:
        """Take the end of a run: everything that the container wrote is delivered, and the event told."""
        self.loop.cancel(self._kill_timer)
        self._kill_timer = None
        if self._health is not None:
            self._health.stop()
            self._health = None
        status, error = self._run.finish()
        events.emit_container(self.locations, self.document, "die", exitCode=str(status))
        return status, error

    def _is_restart_wanted(self, status: int) -> bool:
        if self._stop_asked:
            return False
        if self._restart_asked:
            return True
        if self.document["HostConfig"]["RestartPolicy"]["Name"] == "no":
            return False
        from rootless.containers import restart  # most containers have no policy

        policy = restart.of_host_config(self.document["HostConfig"])
        return restart.is_wanted(policy, status, self.document["RestartCount"])

    def _restart(self, status: int, error: str) -> RlError | OSError | None:
        """Tell of the end, wait, and start again; returns why that failed. When the user stops the wait, no run follows."""
        from rootless.containers import restart

        documents.set_restarting(self.document["State"], status, error, clock.now())
        self._write_between_runs()
        self.clients.announce_end({"status": status, "error": error})
        self._run.take_down()
        self._delay = restart.next_delay(self._delay, self._age())
        self._awake = self._restart_asked
        self._restart_asked = False
        timer = self.loop.call_in(self._delay, self._wake)
        while not self._awake:
            self.loop.run_once(None)
        self.loop.cancel(timer)
        if self._stop_asked:
            return None
        self._run = Run(self)
        self.document["RestartCount"] += 1
        return self._try_to_start(None)

    def _check_health(self) -> None:
        from rootless.containers import health, health_checks  # most containers have no check

        check = health.check_of(self.document["Config"])
        if check is not None:
            self.document["State"]["Health"] = health.new_state()
            documents.write(self._folder, self.document)
            self._health = health_checks.HealthChecks(self, check, self._age, self._on_health)

    def _age(self) -> float:
        return time.monotonic() - self._started

    def _on_health(self, status: str) -> None:
        """Write an outcome down; end a container that is unhealthy now, where it is to be ended then."""
        documents.write(self._folder, self.document)
        action = self.document["Config"].get("HealthcheckOnFailureAction", "none")
        if status != "unhealthy" or action == "none" or self._kill_timer is not None:
            return
        seconds = 0.0
        if action != "kill":
            self._stop_asked, self._restart_asked = action == "stop", action == "restart"
            self._run.signal(lifecycle.stop_signal(self.document))
            seconds = lifecycle.stop_seconds(self.document)
        run = self._run
        self._kill_timer = self.loop.call_in(seconds, lambda: run.signal(signal.SIGKILL))

    def _wake(self) -> None:
        self._awake = True

    def _write_between_runs(self) -> None:
        own = self.document["Rl"]
        own["Init"] = own["Entry"] = None
        try:
            documents.write(self._folder, self.document)
        except OSError as error:  # a full disk: the next start fails, or writes it
            log_failure(error)

    def _end(self, status: int, error: str) -> None:
        """Write the end down, tell the clients, and take the rest down.

        The lock is held until no server of ours touches the container's files any more.
        """
        self._end_publishing()
        documents.set_exited(self.document["State"], status, error, clock.now())
        trashed = self._write_end()
        self.clients.announce_end({"status": status, "error": error})
        self._take_down()
        self._lock.release()
        self._delete(trashed)
        self.clients.wait_until_gone()

    def _take_down(self) -> None:
        self._run.take_down()
        self._endpoint.close()

    def _write_end(self) -> str | None:
        """Write the end down, or with --rm remove name and record; returns the files that are to be deleted."""
        own = self.document["Rl"]
        own["Monitor"] = own["Init"] = own["Entry"] = own["MountNamespace"] = None
        if self.document["HostConfig"]["AutoRemove"] and not self._keeps_record:
            return self._store.remove_record(self.document)
        try:
            documents.write(self._folder, self.document)
        except OSError as error:  # whoever reads the record next finds us gone, and notes an end
            log_failure(error)
        return None

    def _delete(self, trashed: str | None) -> None:
        if trashed is not None:
            trash.delete(self.locations, trashed)
        elif "Staging" in self.document["Rl"]:
            from rootless.containers import staging  # only for volumes and their like

            staging.discard_overlays(self.locations, self.document["Id"])


def _write_pid(path: str, pid: int) -> None:
    """Write the file of `--pidfile`: the PID of init, as conmon does."""
    with open(path, "w", encoding="ascii") as file:
        file.write(str(pid))
