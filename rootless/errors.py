"""The engine's errors: what failed on which object, why, and what to do about it.

`cli.program` is the one place that turns them into an exit status and two lines on standard error:

    rl: cannot map user IDs: no range for alice in /etc/subuid
    hint: ask the administrator for: usermod --add-subuids 100000-165535 alice
"""

import errno

ENGINE_ERROR = 125
CANNOT_INVOKE = 126
NOT_FOUND = 127


class RlError(Exception):
    """An error with a message for the user, an optional hint, and the exit status that Docker would use."""

    exit_status = ENGINE_ERROR

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoSuchObject(RlError):
    """An image, container or other object that the user named does not exist (`docker inspect` and others: 1)."""


class DamagedRecord(RlError):
    """The record of an object cannot be read, or is not what the engine wrote."""


class InUse(RlError):
    """The object is in use, or the name is taken."""


class InvalidInput(RlError):
    """What the user gave (a name, an option, a file) is malformed."""


class NodeLacks(RlError):
    """The node's set-up lacks what this needs: subordinate IDs, /dev/fuse, user namespaces, space."""


class RegistryError(RlError):
    """A registry refused, failed, or sent something that is not what it promised."""


class CorruptImage(RlError):
    """An image's data does not match its digest, or is malformed or hostile."""


class RefusedByPolicy(RlError):
    """The policy of the user or the system does not let an image in."""


class CannotInvoke(RlError):
    """The container's command exists but cannot be executed (126)."""

    exit_status = CANNOT_INVOKE


class CommandNotFound(RlError):
    """The container's command does not exist (127)."""

    exit_status = NOT_FOUND


def os_error_text(error: OSError) -> str:
    """Return `strerror: path`, or the whole error's text where it has no errno."""
    if error.strerror is None:
        return str(error)
    return f"{error.strerror}: {error.filename}" if error.filename is not None else error.strerror


def text_of(error: RlError | OSError) -> str:
    """Return what an error says, without the hint."""
    return os_error_text(error) if isinstance(error, OSError) else error.message


def status_of(error: RlError | OSError) -> int:
    """Return the exit status of who ends with an error."""
    return error.exit_status if isinstance(error, RlError) else ENGINE_ERROR


def lost_root(error: OSError, message: str) -> RlError | None:
    """Return the error for a container's root that is served no more (FUSE's errno of a connection that is gone), or None."""
    if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
        return None
    return RlError(f"{message}: the server of the container's root file system has ended", "see engine.log in its folder")
