"""The processes that serve one container: `slirp_net` and `fuse_overlay`, as seen from its monitor.

Theory of operation. A helper is executed in the parent namespace before what it serves exists, so that its interpreter starts
while the container is being made. It has one descriptor of us, its end of a packet socket: requests are JSON objects with
descriptors, each answered by one object, {"ok": true} or {"error": text}. `guard` gives it the container's init as a pidfd; from
then on the end of file on the socket, which only our death can bring about, makes it kill init and end.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rootless.containers.namespace_modes import has_own_maps
from rootless.linux.own_process import close_all_except
from rootless.linux.process import wait_readable
from rootless.linux.sockets import packet_pair, receive_packet, send_packet
from rootless.namespaces.parent import fork_into_parent

_FOLDERS_OF_UNION: Final = 3  # /dev/fuse, upper, work: before the layers
_RECORD_SIZE: Final = 1 << 20
_PATIENCE: Final = 2.0  # seconds that a helper may take to end


class Helper:
    """One helper process of ours; it ends with us."""

    def __init__(self, runtime_dir: str, module: str, errors: int) -> None:
        """Execute `python -I -m module FD`; what it says on standard error goes to the descriptor `errors`."""
        self.module = module
        self._exit_code: int | None = None
        self._socket, theirs = packet_pair()

        def execute() -> None:
            _execute(module, theirs.fileno(), errors)

        self.pid = fork_into_parent(runtime_dir, execute)
        theirs.close()

    @property
    def descriptor(self) -> int:
        """What becomes readable with an answer, or with the helper's end."""
        return self._socket.fileno()

    def request(self, operation: str, descriptors: Sequence[int] = (), **fields: Any) -> None:
        """Send a request and do not wait for the answer; a helper that is gone shows as the end of what it answers."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_packet(self._socket, json.dumps({"op": operation, **fields}).encode(), descriptors)

    def answer(self) -> dict[str, Any] | None:
        """Return the next answer, or None when the helper has ended."""
        try:
            payload, _descriptors = receive_packet(self._socket)
        except ConnectionResetError:
            return None
        return json.loads(payload) if payload else None

    def exit_code(self) -> int:
        """Wait for the helper's end, which its end of file announced, and return its exit code; negative after a signal."""
        if self._exit_code is None:
            try:
                self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                # It ended by itself as a start failed that was then abandoned, and was reaped with the orphans of that.
                self._exit_code = 0
        return self._exit_code

    def close(self) -> None:
        """Close the socket, which ends the helper, and reap it; one that is stuck is killed."""
        self._socket.close()
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):  # reaped already: see `exit_code`
                pidfd = os.pidfd_open(self.pid)
                if not wait_readable(pidfd, _PATIENCE):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
        self.exit_code()


def serve_root(union: Helper, descriptors: Sequence[int], maps: Mapping[str, Any]) -> None:
    """Ask a `fuse_overlay` to serve a root: `descriptors` are /dev/fuse, the upper, the work folder and the layers.

    With other ID maps (see `namespace_modes.maps_of`) the upper is flat: all files on disk are the user's, whoever has them inside;
    and over flat layers, which are where the disk takes no other owners.
    """
    lowers = descriptors[_FOLDERS_OF_UNION:]
    flat_lowers = [index for index, lower in enumerate(lowers) if _is_flat(lower)]
    flat = {"upper": has_own_maps(maps) or bool(flat_lowers), "lowers": flat_lowers}
    union.request("mount", descriptors, fds=["fuse", "upper", "work"], lowers=len(lowers), flat=flat)


def _is_flat(layer: int) -> bool:
    """Tell whether an open layer's record says so; not parsed, as every start waits for it."""
    try:
        record = os.open("../layer.json", os.O_RDONLY | os.O_CLOEXEC, dir_fd=layer)
    except FileNotFoundError:  # no layer, but a folder that serves for one
        return False
    try:
        return b'"form": "flat"' in os.read(record, _RECORD_SIZE)
    finally:
        os.close(record)


def _execute(module: str, control: int, errors: int) -> None:
    """Become the helper; runs in the parent namespace, in a fork of ours."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream, descriptor in ((0, null), (1, null), (2, errors)):
        os.dup2(descriptor, stream)
    os.set_inheritable(control, True)
    close_all_except({0, 1, 2, control})
    os.chdir("/")
    os.execv(sys.executable, [sys.executable, "-I", "-m", module, str(control)])
