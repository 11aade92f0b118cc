"""An `rl` whose user has no subordinate IDs: root hides /etc/subuid from it, in a mount namespace of each command's own."""

import subprocess
from typing import Any

from tests.support.engine import COMMAND, Engine
from tests.support.test_user import USER

_PREPARE = 'mount --bind /dev/null /etc/subuid && exec setpriv --reuid="$0" --regid="$1" --init-groups -- "${@:2}"'


class OneIdEngine(Engine):
    """The same engine, one ID; only root can make it."""

    def start(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start `rl` and do not wait."""
        wrapped = ["unshare", "--mount", "--propagation", "private", "bash", "-c", _PREPARE, str(USER.pw_uid), str(USER.pw_gid)]
        command = [*wrapped, *COMMAND, *arguments]
        return subprocess.Popen(command, env={**self.environment, **(env or {})}, cwd=self.folder, text=True, **options)
