"""The unprivileged user of the integration tests: $RL_TEST_USER (rltest) when root runs them, else the user who does."""

import os
import pwd
from typing import Any, Final

USER: Final = pwd.getpwnam(os.environ.get("RL_TEST_USER", "rltest")) if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def become_test_user() -> None:
    """Give up root for good; a no-op for others. Only in a forked child."""
    if os.getuid() == 0:
        os.initgroups(USER.pw_name, USER.pw_gid)
        os.setresgid(USER.pw_gid, USER.pw_gid, USER.pw_gid)
        os.setresuid(USER.pw_uid, USER.pw_uid, USER.pw_uid)


def drop_privileges() -> dict[str, Any]:
    """Return the options of `subprocess` that make a program run as the test user."""
    if os.getuid() != 0:
        return {}
    return {"user": USER.pw_uid, "group": USER.pw_gid, "extra_groups": os.getgrouplist(USER.pw_name, USER.pw_gid)}
