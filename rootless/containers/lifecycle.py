"""What is done to existing containers: start, stop, kill, wait, remove. Signals go straight to init; no monitor is asked."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from rootless import events
from rootless.containers import documents, endpoint, ends, frames
from rootless.containers.documents import Document
from rootless.containers.lock import ContainerLock
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import DamagedRecord, InUse, InvalidInput, NoSuchObject, RlError
from rootless.linux.process import ProcessId, is_alive, send_signal, wait_for_end
from rootless.linux.sockets import socket, stream_pair
from rootless.locations import Locations
from rootless.runtime.signals import signal_number

if TYPE_CHECKING:
    from rootless.containers.standby import Standby

STOP_SECONDS: Final = 10.0
FOR_EVER: Final = 2_000_000.0
"""Seconds; poll(2) takes milliseconds in an int."""
HELD_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_KILL_SECONDS: Final = 30.0
_TIDYING_SECONDS: Final = 5.0
_TRIES: Final = 5


class Running(NamedTuple):
    """A container that was started: the starter's side of its monitor's socket, and the monitor, a child of the caller."""

    sock: socket
    monitor_pid: int


def begin(
    locations: Locations,
    document: Document,
    lock: ContainerLock,
    console_size: tuple[int, int] | None = None,
    standby: "Standby | None" = None,
    *,
    holds: bool = False,
) -> Running:
    """Fork the monitor of a created or exited container, whose lock it takes over; the caller speaks `frames` with it.

    A `standby` becomes the monitor, if it lives, unless the container is to get our standard streams, which it has let go.
    With `holds` the container is made, and its init waits for `let_go`.
    """
    pod = document["Rl"].get("Pod")
    if pod is not None and not pod["IsInfra"]:
        from rootless.containers import pod_members  # few containers are in a pod

        try:
            pod_members.start_infra(locations, document)
        except (RlError, OSError):
            lock.release()
            raise
    has_our_streams = documents.log_driver_of(document) == documents.PASSTHROUGH
    if standby is not None and not has_our_streams and standby.hand_over(locations, document, lock, console_size):
        lock.release()
        return Running(standby.sock, standby.pid)
    from rootless.containers.monitor_process import fork_monitor  # 15 ms that stop, kill, wait and rm need not pay

    ours, theirs = stream_pair()
    try:
        pid = fork_monitor(locations, document, lock, theirs, console_size, holds=holds)
        lock.pass_on(pid)
    finally:
        theirs.close()
        lock.release()
    return Running(ours, pid)


def begin_existing(
    locations: Locations, name_or_id: str, console_size: tuple[int, int] | None = None, *, holds: bool = False
) -> tuple[Document, Running]:
    """Start a container that exists; as `begin`. Raises `InUse` when it runs, here or on another node."""

    def refuse(_document: Document) -> None:
        raise InUse(f"container {name_or_id} is already running")

    with signals_held():
        document, lock = _take(locations, name_or_id, _TIDYING_SECONDS, refuse)
        try:
            refuse_terminal(documents.log_driver_of(document))
        except InvalidInput:
            lock.release()
            raise
        return document, begin(locations, document, lock, console_size, holds=holds)


def let_go(locations: Locations, document: Document) -> None:
    """Start a container that was initialized. Raises `InUse` when that was done, and why the command cannot be executed."""
    from rootless.containers import requests  # few containers are initialized first

    refuse_foreign(document)
    if requests.ask_monitor(locations, document, {"op": "begin"}) is None:
        raise not_running(document)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back the signals that end a command, from before a container's record is made until its monitor cares for it.

    A command that attaches holds them until it is attached (see `cli.attachment`), or Ctrl-C would leave the container alone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def running_or_taken(locations: Locations, name_or_id: str, seconds: float) -> tuple[Document, ContainerLock | None]:
    """Return a container that runs, or one that does not with its lock, taken within `seconds`. Raises `NoSuchObject`, `InUse`.

    The short poll is for a monitor that is starting the container, or that has told of its end and is tidying up.
    """
    store = ContainerStore(locations)
    deadline = time.monotonic() + seconds
    while True:
        document = store.find(name_or_id)
        refuse_foreign(document)
        if document["State"]["Running"]:
            return document, None
        folder = store.folder(document["Id"])
        lock = ContainerLock(folder)
        with contextlib.suppress(FileNotFoundError):  # it was removed: `find` will say so
            if lock.acquire():
                document = documents.read(folder)  # as it is now that nobody else can change it
                if not document["State"]["Running"]:
                    return document, lock
                lock.release()  # its monitor died just now: `find` repairs that
        if time.monotonic() >= deadline:
            raise busy(name_or_id)
        time.sleep(0.005)


def _take(
    locations: Locations, name_or_id: str, seconds: float, on_running: Callable[[Document], None]
) -> tuple[Document, ContainerLock]:
    """Return a container that does not run, and its lock; as `running_or_taken`.

    `on_running` is called as long as it runs, to end it or to raise.
    """
    deadline = time.monotonic() + seconds
    while True:
        document, lock = running_or_taken(locations, name_or_id, max(0.0, deadline - time.monotonic()))
        if lock is not None:
            return document, lock
        on_running(document)
        if time.monotonic() >= deadline:
            raise busy(name_or_id)
        time.sleep(0.005)


def busy(name_or_id: str) -> InUse:
    """Return the error for a container whose lock somebody else holds for too long."""
    return InUse(f"another command works on container {name_or_id}", "try again when that has ended")


def kill(locations: Locations, document: Document, number: int) -> None:
    """Send a signal to a container's init; one that is meant to end it ends it for good. Raises `InUse` when it is not running."""
    init = _running_init(document)
    if init is not None and number in (signal.SIGKILL, stop_signal(document)):
        forbid_restart(locations, document)
    if init is None or not send_signal(init, number):
        raise not_running(document)
    events.emit_container(locations, document, "kill", signal=str(number))


def not_running(document: Document) -> InUse:
    """Return the error for what only a running container can do."""
    short_id = document["Id"][:12]
    if document["State"]["Restarting"]:
        hint = f"wait until it runs, or end that: rl stop {short_id}"
        return InUse(f"container {short_id} is not running: it is restarting", hint)
    return InUse(f"container {short_id} is not running", "start it first: rl start")


def stop(locations: Locations, document: Document, seconds: float | None = None, *, keep: bool = False) -> None:
    """Send the stop signal, and SIGKILL after `seconds`; returns when the container has ended. One that is not running is fine.

    None means the container's own time. The container is not started again by its restart policy; with `keep` it stays even if
    it was run with --rm.
    """
    if not document["State"]["Running"]:
        return
    for _attempt in range(_TRIES):
        _stop_run(locations, document, seconds, keep=keep)
        if ends.wait_for_record(locations, document):
            break
        document = ContainerStore(locations).find(document["Id"])  # it got a restart policy, or another one, after we looked
    events.emit_container(locations, document, "stop")


def _stop_run(locations: Locations, document: Document, seconds: float | None, *, keep: bool) -> None:
    init = _running_init(document)
    forbid_restart(locations, document, keep=keep)
    if init is not None and document["State"]["Status"] == documents.INITIALIZED:
        send_signal(init, signal.SIGKILL)  # nothing of the container's own runs yet that could end by itself
        wait_for_end(init, _KILL_SECONDS)
    elif init is not None:
        _end_init(locations, document, init, stop_seconds(document) if seconds is None else seconds)


def _end_init(locations: Locations, document: Document, init: ProcessId, seconds: float) -> None:
    number = stop_signal(document)
    if send_signal(init, number):
        events.emit_container(locations, document, "kill", signal=str(number))
    if not wait_for_end(init, seconds):
        events.emit_container(locations, document, "kill", signal=str(int(signal.SIGKILL)))
        send_signal(init, signal.SIGKILL)
        if not wait_for_end(init, _KILL_SECONDS):
            raise RlError(f"container {document['Id'][:12]} does not end after SIGKILL", "a process of it may hang in the kernel")


def stop_signal(document: Document) -> int:
    """Return the signal that asks the container to end."""
    return signal_number(document["Config"].get("StopSignal") or "SIGTERM")


def stop_seconds(document: Document) -> float:
    """Return how long the container may take to end after that."""
    seconds = grace(document["Config"].get("StopTimeout"))
    return STOP_SECONDS if seconds is None else seconds


def grace(seconds: int | None) -> float | None:
    """Return how long a number of seconds that a user gave is: negative ones mean for ever."""
    return None if seconds is None else float(seconds) if seconds >= 0 else FOR_EVER


def forbid_restart(locations: Locations, document: Document, *, keep: bool = False) -> None:
    """Tell the monitor of a container with a restart policy that the next end is meant; a wait before a restart ends now.

    With `keep` so is one that was run with --rm told that it will be started again.
    """
    has_policy = document["HostConfig"].get("RestartPolicy", {}).get("Name", "no") != "no"
    kept = keep and document["HostConfig"]["AutoRemove"]
    if has_policy or kept or document["Config"].get("HealthcheckOnFailureAction") == "restart":
        from rootless.containers import requests  # most containers have none of these

        requests.ask_monitor(locations, document, {"op": "stop", "keep": keep})


def restart(locations: Locations, name_or_id: str, number: str | None, seconds: float | None) -> Running | None:
    """Stop a container that runs, with signal `number` if that is given, and start it again; as `begin`.

    None: another command has started it in between, which is as good.
    """
    document = ContainerStore(locations).find(name_or_id)
    refuse_foreign(document)
    if number is not None:
        document["Config"]["StopSignal"] = number  # in our copy only
    stop(locations, document, seconds, keep=True)
    for _attempt in range(_TRIES):
        try:
            document, running = begin_existing(locations, document["Id"])
        except InUse:
            state = ContainerStore(locations).find(document["Id"])["State"]
            if documents.has_begun(state):
                return None
            if state["Running"]:
                raise
        else:
            events.emit_container(locations, document, "restart")
            return running
    raise busy(name_or_id)  # started, and ended, by others each time


def wait(locations: Locations, name_or_id: str) -> int:
    """Wait for a container's end and return its exit code; that of one that has ended at once."""
    store = ContainerStore(locations)
    document = store.find(name_or_id)
    refuse_foreign(document)
    while document["State"]["Running"]:
        monitor = document["Rl"]["Monitor"]
        assert monitor is not None
        status = _wait_at(store.folder(document["Id"]), document, ProcessId(*monitor))
        if status is not None:
            return status
        document = store.find(document["Id"])  # whatever its name is by now
    return document["State"]["ExitCode"]


def _wait_at(folder: str, document: Document, monitor: ProcessId) -> int | None:
    """Ask the monitor for the exit code; None when it ended without an answer: the record tells then."""
    import json

    try:
        sock = endpoint.connect(folder, document, monitor)
    except RlError:
        wait_for_end(monitor, None)
        return None
    decoder = frames.Decoder()
    try:
        sock.sendall(frames.encode(frames.REQUEST, b'{"op": "wait"}'))
        while received := sock.recv(1 << 16):
            for kind, payload in decoder.feed(received):
                if kind == frames.EXIT:
                    return int(json.loads(payload)["status"])
    except (ConnectionResetError, BrokenPipeError):
        pass  # killed: the record tells
    finally:
        sock.close()
    wait_for_end(monitor, None)
    return None


def remove(locations: Locations, name_or_id: str, *, force: bool = False, volumes: bool = False, pod: bool = False) -> None:
    """Remove a container, with `volumes` its anonymous ones; a running one only with `force`, which kills it. Raises `InUse`.

    The one that holds a pod's namespaces goes only with `pod`.
    """
    from rootless.containers import leftovers  # with the worker, 2 ms that stop, kill and wait need not pay

    def end(document: Document) -> None:
        if not force and document["State"]["Status"] != documents.INITIALIZED:
            raise InUse(f"container {name_or_id} is running", f"stop it first (rl stop {name_or_id}), or use rl rm -f")
        forbid_restart(locations, document)
        init = _running_init(document)
        if init is not None and send_signal(init, signal.SIGKILL):
            wait_for_end(init, _KILL_SECONDS)

    store = ContainerStore(locations)
    container_id = store.id_of(name_or_id)
    if not pod:
        leftovers.refuse_infra(store, container_id)
    try:
        document, lock = _take(locations, container_id, _KILL_SECONDS if force else _TIDYING_SECONDS, end)
    except NoSuchObject:
        document = None  # it was run with --rm, or somebody else removed it
    except DamagedRecord:
        if not force:
            raise
        if not leftovers.remove_damaged(locations, container_id):
            raise InUse(f"the monitor of container {name_or_id} still runs", "end it first: its process is `rl monitor`") from None
        document = None
    if document is not None:
        try:
            store.remove(document, volumes=volumes)
        finally:
            lock.release()
    leftovers.collect(locations)


def attach(locations: Locations, document: Document) -> socket:
    """Return a connection to a running container's monitor, to speak `frames` with. Raises `InUse` when it is not running."""
    refuse_foreign(document)
    if documents.log_driver_of(document) == documents.PASSTHROUGH:
        raise InvalidInput(
            f"cannot attach to container {document['Id'][:12]}: its log driver is passthrough",
            "it has the standard streams of the command that started it",
        )
    monitor = document["Rl"]["Monitor"]
    if not document["State"]["Running"] or monitor is None:
        raise _cannot_attach(document)
    store = ContainerStore(locations)
    try:
        return endpoint.connect(store.folder(document["Id"]), document, ProcessId(*monitor))
    except RlError:
        later = store.find(document["Id"])
        if later["State"]["Running"] and later["Rl"]["Monitor"] == monitor:
            if is_alive(ProcessId(*monitor)):
                raise
            raise _cannot_attach(document) from None  # it was killed, and the record is not repaired yet
        return attach(locations, later)


def _cannot_attach(document: Document) -> InUse:
    return InUse(f"cannot attach to container {document['Id'][:12]}: it is not running", "start it first: rl start")


def refuse_terminal(log_driver: str) -> None:
    """Raise `InvalidInput` where the container would get our terminal: it could type there, and outlives us."""
    if log_driver == documents.PASSTHROUGH and any(os.isatty(stream) for stream in range(3)):
        raise InvalidInput(
            "the log driver passthrough cannot be used on a terminal",
            "it is for units and scripts; redirect input, output and errors",
        )


def refuse_foreign(document: Document) -> None:
    """Raise `InUse` for a container that runs on another node: nothing can be done to it from here."""
    if document["State"]["Running"] and not is_of_this_node(document):
        node = document["Rl"]["Node"]
        raise InUse(f"container {document['Id'][:12]} is running on {node}", f"log in to {node} to do that")


def _running_init(document: Document) -> ProcessId | None:
    refuse_foreign(document)
    init = document["Rl"]["Init"]
    return ProcessId(*init) if document["State"]["Running"] and init is not None else None
