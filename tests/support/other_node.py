"""An `rl` on another node: root gives its commands another node name; the data root is shared, the runtime directory is not."""

from pathlib import Path
from typing import Final

from tests.support.engine import Engine
from tests.support.test_user import USER

_PREPARE: Final = 'hostname "$0" && exec setpriv --reuid="$1" --regid="$2" --init-groups -- "${@:3}"'


class OtherNode(Engine):
    """The engine of `node` on the data root in `folder`; only root can make it."""

    def __init__(self, folder: Path, node: str) -> None:
        super().__init__(folder)
        self.node = node
        self.runtime_dir = folder / f"r-{node}"
        self.environment["RL_RUNROOT"] = str(self.runtime_dir)

    def wrapper(self) -> list[str]:
        """Give the command the node's name."""
        return ["unshare", "--uts", "bash", "-c", _PREPARE, self.node, str(USER.pw_uid), str(USER.pw_gid)]
