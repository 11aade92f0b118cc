"""The runtime's face: make a container in two phases, `create` and `start`. Its stages are in `stage`."""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from rootless.errors import RlError
from rootless.linux.process import ProcessId, identify, pid_of, wait_readable
from rootless.linux.sockets import packet_pair, socket
from rootless.runtime import channel, stage
from rootless.runtime.interpreter import check_protected
from rootless.runtime.process import refuse_listener
from rootless.runtime.stage import StagePlan


class Created(NamedTuple):
    """A container whose init waits for `start`; the caller owns the descriptors."""

    init: ProcessId
    pidfd: int
    sync: socket
    master: int | None  # of the container's terminal
    known: dict[str, Any]  # `process.completion` of the OCI process
    unreaped: tuple[int, ...] = ()  # the stages that `end_stages` ends and reaps: an outer one that lingers, and the other
    mount_namespace: int | None = None  # where the PID namespace is not the container's own: who is in it must be ended


class Watcher(NamedTuple):
    """What the caller does while the container is being made; it closes the descriptors that it is given."""

    on_begun: Callable[[], None]
    on_root: Callable[[list[int]], None]
    on_network: Callable[[list[int]], None]
    on_mounted: Callable[[ProcessId], dict[str, Any]] = lambda _init: {}  # runs hooks; returns the OCI state for init's own
    on_listener: Callable[[int, int], None] = refuse_listener  # takes init's PID and the listener of its seccomp filter
    on_created: Callable[[ProcessId, int], None] = lambda _init, _outer: None  # tells of an outer stage that lingers


def create(
    fork: Callable[[Callable[[], None]], int], plan: StagePlan, watcher: Watcher, interrupted: Callable[[socket], None]
) -> Created:
    """Make the container up to its waiting init. The caller is single-threaded and a child subreaper.

    `fork` returns the PID of a child that runs a function where the container's user namespace is to be made. `interrupted`
    blocks until the socket has something to read, and raises `RlError` when a helper died meanwhile.
    Raises the stage's error after everything that it made is gone.
    """
    check_protected(plan.id_maps)
    ours, theirs = packet_pair()
    starter = os.getpid()

    def outer() -> None:
        ours.close()
        stage.run_outer(plan, theirs, starter)

    outer_pid = fork(outer)
    theirs.close()
    progress = _Progress(ours, outer_pid, lingers=plan.lingers)
    try:
        watcher.on_begun()
        return progress.follow(watcher, interrupted)
    except (RlError, OSError):
        progress.abandon()
        raise


def fork_here(body: Callable[[], None]) -> int:
    """Fork a child that runs `body` in our own namespaces, for `create`; returns its PID."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return pid


class _Progress:
    """What is known of the stages so far."""

    def __init__(self, sync: socket, outer_pid: int, *, lingers: bool = False) -> None:
        self._sync = sync
        self._outer = outer_pid if lingers else None
        self._unreaped = [] if lingers else [outer_pid]
        self._init: ProcessId | None = None
        self._ready = False
        self._mounted = False  # and waits for our hooks
        self._listener = -1  # of the filter, to be handed on
        self._pidfd = -1
        self._master: int | None = None
        self._known: dict[str, Any] = {}
        self._mount_namespace: list[int] = []  # its descriptor, where there is one

    def follow(self, watcher: Watcher, interrupted: Callable[[socket], None]) -> Created:
        """Follow the events to `ready` and `created`: init may be faster than the stage that tells of it."""
        while not (self._ready and self._pidfd >= 0):
            interrupted(self._sync)
            message = channel.receive(self._sync)
            if message.event == "staged":
                watcher.on_root(message.descriptors)
            elif message.event == "network":
                watcher.on_network(message.descriptors)
            elif message.event == "created":
                self._note_created(message, watcher)
            elif message.event == "console":
                (self._master,) = message.descriptors
            elif message.event == "listener":
                (self._listener,) = message.descriptors
            elif message.event == "mounted":
                self._mounted = True
            elif message.event == "ready":
                self._ready = True
            elif message.event == "error":
                raise channel.to_exception(message)
            else:
                raise RlError("the container's init ended before it was ready")
            if self._init is not None:
                self._serve(watcher, self._init)
        return self._finish()

    def _serve(self, watcher: Watcher, init: ProcessId) -> None:
        """Do what init waits for, now that we know who it is."""
        if self._mounted:
            self._mounted = False
            channel.send(self._sync, "hooked", state=watcher.on_mounted(init))
        if self._listener >= 0:
            listener, self._listener = self._listener, -1
            try:
                watcher.on_listener(init.pid, listener)
            finally:
                os.close(listener)

    def _note_created(self, message: channel.Message, watcher: Watcher) -> None:
        self._pidfd, *self._mount_namespace = message.descriptors
        self._known = message.fields["known"]
        with contextlib.suppress(ProcessLookupError):  # it ended already: the next event says why
            self._init = identify(message.fields["init"])
        if self._outer is not None and self._init is not None:
            watcher.on_created(self._init, self._outer)
        # The stage of another runtime stays (`rootless.runtime.foreign`); ours ends. It becomes our child when O has ended.
        if message.fields["stage"] is not None:
            self._unreaped.insert(0, message.fields["stage"])
        elif self._outer is not None:
            self._kill_outer(self._outer)  # that stage wants us for its parent

    def _kill_outer(self, outer: int) -> None:
        os.kill(outer, signal.SIGKILL)  # a child of ours that was not reaped yet
        self._unreaped.append(outer)
        self._outer = None

    def _finish(self) -> Created:
        # Before `start`: when the stage ends, init's parent changes, and the parent-death signal is for the last one.
        unreaped: list[int] = []
        if self._outer is None:
            self._reap()
        else:
            for stage_pid in self._unreaped:
                _wait_for_zombie(stage_pid)
            unreaped = [self._outer, *self._unreaped]
        if self._init is None:
            raise RlError("the container's init ended before it was ready")
        return Created(self._init, self._pidfd, self._sync, self._master, self._known, tuple(unreaped), *self._mount_namespace)

    def _reap(self) -> None:
        """Reap O, then T."""
        while self._unreaped:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._unreaped.pop(), 0)

    def abandon(self) -> None:
        """End whatever lives of the container: its init by descriptor, the stages by the end of the socket."""
        self._sync.close()
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
        for descriptor in self._mount_namespace:
            os.close(descriptor)
        if self._outer is not None:
            self._kill_outer(self._outer)
        if self._master is not None:
            os.close(self._master)
        if self._listener >= 0:
            os.close(self._listener)
        self._reap()
        reap_orphans()


def _wait_for_zombie(pid: int) -> None:
    """Wait for the end of a child's child, which is not reaped as long as that child lingers."""
    with contextlib.suppress(ProcessLookupError):  # somebody killed both
        pidfd = os.pidfd_open(pid)
        wait_readable(pidfd, None)
        os.close(pidfd)


def end_stages(created: Created) -> None:
    """End the stage that lingers, after the start or instead of it, and reap it and the other; to be called once."""
    for number, pid in enumerate(created.unreaped):
        if number == 0:
            os.kill(pid, signal.SIGKILL)  # a child of ours that was not reaped yet
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def start(created: Created) -> ProcessId:
    """Let the waiting init execute the container's command; returns when it has, with the process that others can join.

    Errors as `start_at`.
    """
    return start_at(created.sync, created.init)


def start_at(sync: socket, init: ProcessId, **fields: Any) -> ProcessId:
    """Do the same by a connection to the socket that init listens at; `fields` are what it is told.

    That is init itself, but with a reaper the command below it: the reaper executes nothing and stays closed to everybody.
    Raises `CommandNotFound` or `CannotInvoke`; init has ended then.
    """
    entry = init
    try:
        channel.send(sync, "start", **fields)
    except BrokenPipeError:
        raise RlError("the container's init ended before it was started", "somebody may have killed it") from None
    while (message := channel.receive(sync)).event == "command":
        (pidfd,) = message.descriptors
        with contextlib.suppress(ProcessLookupError):  # it ended already, and so will init
            entry = identify(pid_of(pidfd))
        os.close(pidfd)
    sync.close()
    if message.event == "error":
        raise channel.to_exception(message)
    return entry


def reap_orphans() -> None:
    """Reap every child that has ended, without waiting."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
