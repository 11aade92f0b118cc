"""Session keyrings: keyctl(2), session-keyring(7)."""

from rootless.linux import libc

_JOIN_SESSION_KEYRING = 1


def join_new_session() -> None:
    """Give the caller a new, empty session keyring in place of the one that it inherited.

    Raises `OSError` (EDQUOT: too many keys of this user, keyrings(7); ENOSYS, EPERM: no keyrings in this kernel or container).
    """
    libc.system_call("keyctl", libc.sys_keyctl(), _JOIN_SESSION_KEYRING, None)
