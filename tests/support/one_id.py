"""An `rl` whose user has no subordinate IDs: root hides /etc/subuid from it, in a mount namespace of each command's own."""

from tests.support.engine import Engine
from tests.support.test_user import USER

_PREPARE = 'mount --bind /dev/null /etc/subuid && exec setpriv --reuid="$0" --regid="$1" --init-groups -- "${@:2}"'


class OneIdEngine(Engine):
    """The same engine, one ID; only root can make it."""

    def wrapper(self) -> list[str]:
        """Hide the file in a mount namespace of the command's own."""
        return ["unshare", "--mount", "--propagation", "private", "bash", "-c", _PREPARE, str(USER.pw_uid), str(USER.pw_gid)]
