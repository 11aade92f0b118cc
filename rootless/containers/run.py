"""One run of a container in its monitor: its processes and streams, from the bundle to the exit status."""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from rootless.containers import bundle
from rootless.containers.bundle import Bundle
from rootless.containers.clients import Clients
from rootless.containers.documents import Document
from rootless.containers.loop import Loop
from rootless.containers.namespace_modes import has_own_maps, is_kept_user, maps_of
from rootless.containers.servers import Servers
from rootless.containers.store import ContainerStore
from rootless.containers.streams import Log, Streams
from rootless.linux.process import ProcessId, identify
from rootless.locations import Locations
from rootless.namespaces.idmap import write_by_kernel
from rootless.namespaces.parent import add_member, child_maps, fork_into_parent, own_maps, remove_member
from rootless.networks import modes
from rootless.runtime import launch
from rootless.runtime.interpreter import engine_maps
from rootless.runtime.process import complete
from rootless.runtime.stage import StagePlan
from rootless.storage import drivers

if TYPE_CHECKING:
    from rootless.networks.listening import Listeners
    from rootless.runtime.foreign import ForeignRuntime

_KILLED: Final = 137
_LAST_WORDS: Final = 2000  # bytes


class Surroundings(Protocol):
    """What all runs of one container share."""

    locations: Locations
    document: Document
    loop: Loop
    clients: Clients
    log: Log | None
    errors: int  # engine.log
    passed: tuple[int, int, int] | None  # streams of the starter that the container gets itself
    published: "Listeners | None"  # its ports at the node


class Run:
    """`create`, `start`, the loop until `ended`, `finish`, `take_down`; a failure of the first two is followed by the last."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._document = around.document
        self._runtime_dir = around.locations.runtime_dir
        self._folder = ContainerStore(around.locations).folder(around.document["Id"])
        self.streams = Streams(around.loop)
        self.streams.connect(around.clients)
        self._servers = Servers(around.locations, around.loop, around.errors, self._on_server_lost)
        self._created: launch.Created | None = None
        self._prepared: Bundle | None = None
        self._pidfd = -1
        self._outer: ProcessId | None = None  # the stage that lingers
        self._stages_ended = False
        self._error = ""
        self.ended = False
        self.mount_namespace: int | None = None  # see `launch.Created`
        self._log_start = os.fstat(around.errors).st_size

    def create(self, console_size: tuple[int, int] | None) -> ProcessId:
        """Make the container up to its waiting init, which is returned. Raises `RlError`, `OSError`."""
        document = self._document
        self.streams.log_to(self._around.log)
        self._servers.begin(document)
        self._prepared = prepared = bundle.prepare(self._around.locations, document, console_size)
        plan = self._with_secret_variables(self._with_account(self._with_sources(self._plan(prepared, self._open_streams()))))
        watcher = self._servers.watcher(prepared.network, self._around.published)._replace(on_created=self._note_member)
        created = launch.create(self._fork_stage, plan, watcher, self._servers.wait_for)
        prepared.shared.close()
        self.mount_namespace = created.mount_namespace
        self.streams.close_container_ends()
        self._created, self._pidfd = created, created.pidfd
        self._servers.guard(created.pidfd)
        if created.master is not None:
            self.streams.take_terminal(created.master)
        return created.init

    def start(self) -> ProcessId:
        """Let init go, and return the process that others can join. Raises `CommandNotFound`, `CannotInvoke`."""
        assert self._created is not None
        assert self._prepared is not None
        entry = launch.start(self._created)
        self._end_stages()
        spec = self._prepared.spec
        spec = {**spec, "process": complete(spec["process"], self._created.known)}
        bundle.write_config(self._folder, spec, self._prepared.shared.shown)
        return entry

    def watch(self) -> None:
        """Take notice of the end from now on."""
        self._around.loop.watch(self._pidfd, 1, lambda _events: self._on_init_ended())

    def signal(self, number: int) -> None:
        """Send a signal to init, if it still lives."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def finish(self) -> tuple[int, str]:
        """Deliver everything that the container wrote; returns the exit status, and what the engine has to say of the end."""
        status = self._reap_init()
        self._end_strays()
        self._error = self._error or self._servers.why_lost()
        self.streams.drain()
        return (_KILLED if self._error else status), self._error

    def end_network(self) -> None:
        """End the network stack before the rest is taken down."""
        self._servers.end_network()

    def take_down(self) -> None:
        """End what serves the container, and close everything."""
        self._servers.end()
        self._end_stages()
        if self._created is not None:
            remove_member(self._runtime_dir, self._created.init)
        self.streams.close()
        if self._pidfd >= 0:
            self._around.loop.forget(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        launch.reap_orphans()

    def last_words(self) -> str:
        """Return what our processes wrote to engine.log during this run, as an addition to an error's text."""
        text = os.pread(self._around.errors, _LAST_WORDS, self._log_start).decode("utf-8", "replace").strip()
        return f" ({text})" if text else ""

    def _open_streams(self) -> tuple[int, int, int] | None:
        if self._around.passed is not None:
            return self._around.passed
        config = self._document["Config"]
        return None if config["Tty"] else self.streams.open_pipes(config["OpenStdin"])

    def _note_member(self, init: ProcessId, outer: int) -> None:
        """Note that init keeps the parent namespace known; until it has executed its command it is closed, and `outer` does."""
        add_member(self._runtime_dir, init)
        with contextlib.suppress(ProcessLookupError):  # somebody else killed it
            self._outer = identify(outer)

    def _end_stages(self) -> None:
        """End the stage that has led to the parent namespace: init does from now on, or has ended."""
        if self._outer is not None:
            remove_member(self._runtime_dir, self._outer)
        if self._created is not None and not self._stages_ended:
            self._stages_ended = True
            launch.end_stages(self._created)

    def _fork_stage(self, outer: Callable[[], None]) -> int:
        assert self._prepared is not None
        shared = self._prepared.shared
        keep_groups = bundle.keeps_groups(self._document)
        return fork_into_parent(self._runtime_dir, outer, keep_groups=keep_groups, member=True, parent=shared.parent)

    def _plan(self, prepared: Bundle, stdio: tuple[int, int, int] | None) -> StagePlan:
        driver, network, shared = drivers.load(self._document["Driver"]), prepared.network, prepared.shared

        def mount_root() -> list[int]:
            shared.put_trees()
            descriptors: list[int] = driver.mount(prepared.root)
            return descriptors

        return StagePlan(
            prepared.spec,
            prepared.root.mount_point,
            self._document["Rl"]["User"],
            prepared.capability_names,
            mount_root,
            lambda: modes.make_device(network),
            prepared.seccomp_filter,
            stdio,
            prepared.reaper,
            engine_maps(),
            self._map_writer() if shared.makes_user_namespace else None,
            lingers=True,
            held=shared.descriptors,
            groups=prepared.groups,
            foreign=self._foreign(),
        )

    def _map_writer(self) -> Callable[[int], None]:
        """Return what gives the stage's user namespace its maps, as the parent namespace's root."""
        host_config = self._document["HostConfig"]
        if not has_own_maps(host_config):
            return lambda pid: write_by_kernel(pid, child_maps())
        from rootless.namespaces import custom_maps  # few containers have other maps

        user, group = os.getuid(), os.getgid()

        def write(pid: int) -> None:
            maps = custom_maps.of_document(host_config, own_maps(), user, group)
            assert maps is not None
            write_by_kernel(pid, maps)

        return write

    def _foreign(self) -> "ForeignRuntime | None":
        name = self._document["HostConfig"]["Runtime"]
        if name == "rl":
            return None
        from rootless.runtime import foreign  # rare

        program = foreign.find(name, os.environ)
        return None if program is None else foreign.ForeignRuntime(program, f"{self._folder}/runtime", os.getpid())

    def _with_sources(self, plan: StagePlan) -> StagePlan:
        """Add what the stage makes for the container's mounts, and how it reaches them."""
        if "Staging" not in self._document["Rl"]:
            return plan if self._reaches_user() else plan._replace(hold_sources=dict)
        from rootless.containers import staging  # only for volumes and their like

        staging.check_not_shared(self._around.locations, self._document)
        wanted = staging.Staging(self._around.locations, self._document)
        if wanted.has_overlays:
            staging.discard_overlays(self._around.locations, self._document["Id"])  # of a start whose monitor was killed
        plan = plan._replace(make_sources=wanted.make, owned=wanted.owned)
        return plan if self._reaches_user() else plan._replace(hold_sources=wanted.hold, given=wanted.given)

    def _reaches_user(self) -> bool:
        """Tell whether the container's root has power over the user's files."""
        maps = maps_of(self._document)
        if not has_own_maps(maps):
            return True
        from rootless.namespaces import custom_maps  # few containers have other maps

        return custom_maps.have_user(maps)

    def _with_account(self, plan: StagePlan) -> StagePlan:
        """Add the files that make the user somebody inside, with keep-id."""
        if not is_kept_user(self._document):
            return plan
        from rootless.containers import accounts  # few containers have other ID maps
        from rootless.namespaces.subordinate import user_name

        make_others, name = plan.make_sources, user_name(os.getuid()) or "user"

        def make(root: str, user: Mapping[str, Any]) -> None:
            if make_others is not None:
                make_others(root, user)
            accounts.write(self._folder, root, user, name)

        return plan._replace(make_sources=make)

    def _with_secret_variables(self, plan: StagePlan) -> StagePlan:
        """Add secrets to the environment that init gets, and to nothing that is written down."""
        if "SecretVariables" not in self._document["Rl"]:
            return plan
        from rootless.containers.secrets_of_container import environment_of  # rarely asked for

        process = plan.spec["process"]
        env = [*process["env"], *environment_of(self._document)]
        return plan._replace(spec={**plan.spec, "process": {**process, "env": env}})

    def _on_server_lost(self, reason: str) -> None:
        """End a container that lost a server it cannot live without."""
        self._error = reason
        self.signal(signal.SIGKILL)

    def _on_init_ended(self) -> None:
        self.ended = True

    def _end_strays(self) -> None:
        """End what init left behind, where the kernel did not."""
        if self.mount_namespace is not None:
            from rootless.containers import strays  # rare: only with --pid

            strays.end_all_in(self.mount_namespace)
            os.close(self.mount_namespace)  # it keeps the container's mounts
            self.mount_namespace = None

    def _reap_init(self) -> int:
        assert self._created is not None
        self._around.loop.forget(self._pidfd)
        _pid, wait_status = os.waitpid(self._created.init.pid, 0)
        code = os.waitstatus_to_exitcode(wait_status)
        return code if code >= 0 else 128 - code
