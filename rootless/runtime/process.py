"""The last steps of a container's process: limits, user, capabilities, seccomp, execve. Shared by init and exec.

Their order is forced: the filter needs CAP_SYS_ADMIN unless no_new_privs is set, dropping from the bounding set needs CAP_SETPCAP,
so both come before the change of user; the parent-death signal is cleared by that change, so it comes after.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from rootless.errors import CannotInvoke, CommandNotFound, InvalidInput, NodeLacks, RlError, lost_root
from rootless.linux import capabilities, keyrings, seccomp
from rootless.linux.own_process import set_parent_death_signal
from rootless.linux.sockets import socket
from rootless.runtime.search_path import SEARCH_PATH
from rootless.runtime.security import oci_capabilities
from rootless.runtime.users import ContainerUser

_HINTS: Final = {
    errno.EACCES: "the file is not executable for the container's user, or is a directory",
    errno.ENOEXEC: "a script needs a first line such as #!/bin/sh; a program must be of this machine's architecture",
}


class SeccompFilter:
    """A compiled filter and the flags of seccomp(2) to install it with."""

    def __init__(self, program: bytes, flags: int) -> None:
        self.program = program
        self.flags = flags

    def install(self, sync: socket | None) -> None:
        """Install the filter in the calling thread; a listener of it goes to the starter over `sync`."""
        if self.flags & seccomp.FILTER_FLAG_NEW_LISTENER:
            from rootless.runtime import seccomp_listener  # rare: loaded already, before the interpreter was closed (`extras`)

            assert sync is not None
            seccomp_listener.install(self.program, self.flags, sync)
        else:
            seccomp.install(self.program, self.flags)


def refuse_listener(_pid: int, _listener: int) -> None:
    """Take the listener of a process's filter where nobody is there to answer it. Raises `InvalidInput`."""
    raise InvalidInput("the seccomp profile has SCMP_ACT_NOTIFY, and there is no agent to notify", "use another action")


class _Masks(NamedTuple):
    """The five sets of a process as bit masks."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int


def become(
    process: Mapping[str, Any],
    seccomp_filter: SeccompFilter | None,
    *,
    keep_groups: bool,
    steps: Iterable[Callable[[], None]] = (),
    sync: socket | None = None,
) -> None:
    """Take on what an OCI `process` says of user, capabilities and seccomp; all but the working folder and execve.

    `keep_groups`: in a map of one ID the kernel lets nobody set groups, and some containers want the user's own.
    `steps` are what else there is to do with every capability (`extras.Extras.before_user`); `sync` takes a filter's listener.
    """
    for step in steps:
        step()
    _leave_session_keyring(seccomp_filter)
    no_new_privileges = bool(process.get("noNewPrivileges"))
    if no_new_privileges:
        seccomp.set_no_new_privs()
    elif seccomp_filter is not None:
        seccomp_filter.install(sync)
    masks = _grantable(process.get("capabilities") or {})
    capabilities.limit_bounding(masks.bounding)
    keeps = process["user"]["uid"] != 0 and bool(masks.permitted | masks.inheritable)
    if keeps:
        capabilities.keep_over_change_of_user()
    _change_user(process["user"], keep_groups=keep_groups)
    if keeps or process["user"]["uid"] == 0:  # for others the change of user has cleared all three
        capabilities.set_process(masks.effective, masks.permitted, masks.inheritable)
    if masks.ambient:
        capabilities.set_ambient(masks.ambient)
    if no_new_privileges and seccomp_filter is not None:
        seccomp_filter.install(sync)


def _grantable(sets: Mapping[str, Sequence[str]]) -> _Masks:
    """Return what the kernel can grant of the five sets: it refuses the whole of a set for one that it cannot (capabilities(7)).

    Names that no kernel knows are left out: whoever read the config has warned of them.
    """

    def mask(name: str) -> int:
        return capabilities.to_mask(one for one in sets.get(name) or () if one in capabilities.NUMBERS)

    bounding, permitted = mask("bounding"), mask("permitted")
    inheritable = mask("inheritable") & bounding
    # Configs of runc's name ambient ones that are not inheritable.
    return _Masks(bounding, mask("effective") & permitted, permitted, inheritable, mask("ambient") & inheritable & permitted)


def _leave_session_keyring(seccomp_filter: SeccompFilter | None) -> None:
    """Take a new session keyring: the inherited one holds the user's Kerberos tickets and keys of disks."""
    try:
        keyrings.join_new_session()
    except OSError as error:
        # Where the outer engine's filter, or the kernel, refuses keyctl(2), nobody in the container can use it either.
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return
        # A user may have 200 keys. The default filter refuses keyctl(2), too: a container that has one can do without.
        if error.errno != errno.EDQUOT or seccomp_filter is None:
            raise


def completion(capability_names: Sequence[str], user: ContainerUser, environment: Sequence[str]) -> dict[str, Any]:
    """Return what becomes known of an OCI process inside only: its user, capabilities, and HOME unless `environment` sets it."""
    home = [] if any(entry.startswith("HOME=") for entry in environment) else [f"HOME={user.home or '/'}"]
    return {
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)},
        "capabilities": oci_capabilities(capability_names, user.uid),
        "env": home,
    }


def complete(process: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OCI process with a `completion` put in; it keeps its user's umask."""
    user = {**(process.get("user") or {}), **(known.get("user") or {})}
    return {**process, **known, "user": user, "env": [*(process.get("env") or ()), *known["env"]]}


def _change_user(user: Mapping[str, Any], *, keep_groups: bool) -> None:
    uid, gid = user["uid"], user["gid"]
    os.umask(user.get("umask", 0o022))
    try:
        if not keep_groups:
            os.setgroups(user.get("additionalGids") or [])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise NodeLacks(
            f"cannot run as user {uid}:{gid}: the ID is not mapped into the container",
            "you have too few subordinate IDs: ask the administrator for a range in /etc/subuid and /etc/subgid",
        ) from None


def reset_signals() -> None:
    """Give every signal its default action, and block none: ignored ones would be inherited from the interpreter, or from nohup."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execute(process: Mapping[str, Any], *, die_with_parent: bool, still_wanted: Callable[[], bool]) -> NoReturn:
    """Change to the working folder and execute the command, looked up in the container's own PATH.

    `still_wanted` is asked after the parent-death signal is set: it tells whether the parent lived until then.
    Raises `CommandNotFound` (127) and `CannotInvoke` (126) with Docker's words.
    """
    _change_folder(process["cwd"])
    arguments = process["args"]
    environment = _environment(process)
    reset_signals()
    if die_with_parent:
        set_parent_death_signal(signal.SIGKILL)
    if not still_wanted():
        os._exit(137)
    _execute_from_path(arguments, environment)


def check_command(process: Mapping[str, Any]) -> None:
    """Raise what `execute` would for a command that does not exist or is not executable; looked up in the same way."""
    command = process["args"][0]
    environment = _environment(process)
    found = False
    for candidate in _candidates(command, environment.get("PATH", SEARCH_PATH)):
        path = os.path.join(process["cwd"], candidate)
        if os.path.isfile(path):
            found = True
            if os.access(path, os.X_OK, effective_ids=True):
                return
    if found or os.path.isdir(os.path.join(process["cwd"], command)):
        raise CannotInvoke(f'exec: "{command}": permission denied', _HINTS[errno.EACCES])
    raise _not_found(command)


def _environment(process: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables by name; an entry without a name is none, and execve(2) in Python refuses it."""
    pairs = (entry.partition("=")[::2] for entry in process["env"])
    return {name: value for name, value in pairs if name}


def _change_folder(cwd: str) -> None:
    try:
        os.chdir(cwd)
    except OSError as error:
        raise refused(error, f'cannot use the working directory "{cwd}": {error.strerror}') from None
    # CVE-2024-21626: a folder outside of the root that a leaked descriptor leads to has no path from here.
    if not os.getcwd().startswith("/"):
        raise CannotInvoke(f'the working directory "{cwd}" lies outside of the container')


def _execute_from_path(arguments: list[str], environment: dict[str, str]) -> NoReturn:
    command = arguments[0]
    if not command:
        raise CommandNotFound('exec: "": executable file not found in $PATH')
    denied: OSError | None = None
    for path in _candidates(command, environment.get("PATH", SEARCH_PATH)):
        try:
            os.execve(path, arguments, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            denied = denied or error
            if error.errno != errno.EACCES:
                break
    if denied is not None:
        raise refused(denied, f'exec: "{command}": {_lower(denied.strerror)}', _exec_hint(denied))
    raise _not_found(command)


def refused(error: OSError, message: str, hint: str | None = None) -> RlError:
    """Return what the kernel's refusal means: a fault of the command's, or that the server of the root has ended."""
    return lost_root(error, message) or CannotInvoke(message, hint)


def _not_found(command: str) -> CommandNotFound:
    if "/" in command:
        hint = "check the path, and for scripts the interpreter named in #!"
        return CommandNotFound(f'exec: "{command}": no such file or directory', hint)
    return CommandNotFound(f'exec: "{command}": executable file not found in $PATH')


def _candidates(command: str, path: str) -> list[str]:
    return [command] if "/" in command else [f"{folder or '.'}/{command}" for folder in path.split(":")]


def _exec_hint(error: OSError) -> str | None:
    return _HINTS.get(error.errno or 0)


def _lower(text: str | None) -> str:
    return (text or "error").lower()
