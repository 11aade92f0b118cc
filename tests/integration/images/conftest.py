"""Images as an unprivileged user has them: real namespaces, real registries on loopback."""

import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rootless.images.removal import remove_tree
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from tests.support.registries import Registry
from tests.support.test_user import USER, become_test_user, drop_privileges


class Place(NamedTuple):
    """A private folder of the test user with the engine's locations, a home and an `etc` in it."""

    folder: Path
    locations: Locations
    environ: dict[str, str]

    @property
    def etc(self) -> str:
        return str(self.folder / "etc")

    def run(self, function: Callable[..., Any], *arguments: Any, as_root: bool = False, **options: Any) -> Any:
        """Return what `function` returns in a child that is the test user, or raise what it raises there.

        `as_root` leaves it to the function to become somebody else.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._answer(writing, function, arguments, options, as_root)
        os.close(writing)
        with open(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        result, error = pickle.loads(answer)
        if error is not None:
            raise error
        return result

    def in_parent(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function` returns as root of the test user's parent namespace (JSON types)."""
        return self.run(run_in_parent, self.locations, function, *arguments)

    def rl(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the command line as the test user."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            input=data,
            capture_output=True,
            env=self.environ,
            cwd="/",
            timeout=60,
            check=False,
            **drop_privileges(),
        )

    def write(self, path: str, text: str) -> None:
        """Write a file of the test user below the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        for one in (target, *target.parents):
            if one == self.folder:
                break
            os.chown(one, USER.pw_uid, USER.pw_gid)

    def _answer(self, writing: int, function: Callable[..., Any], arguments: Any, options: Any, as_root: bool) -> None:
        try:
            if not as_root:
                become_test_user()
            os.chdir("/")
            os.environ.clear()
            os.environ.update(self.environ)
            try:
                answer = pickle.dumps((function(*arguments, **options), None))
            except Exception as error:
                traceback.print_exc()
                error.__cause__ = error.__context__ = None
                answer = pickle.dumps((None, error))
            with open(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)


@pytest.fixture
def place() -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="rl-images-"))
    os.chown(folder, USER.pw_uid, USER.pw_gid)
    environ = {
        "HOME": f"{folder}/home",
        "PATH": os.environ["PATH"],
        "RL_ROOT": f"{folder}/data",
        "RL_RUNROOT": f"{folder}/run",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }
    made = Place(folder, Locations(environ["RL_ROOT"], environ["RL_RUNROOT"]), environ)
    try:
        made.run(os.mkdir, environ["RL_RUNROOT"], 0o700)
        yield made
    finally:
        if os.getuid() != 0 and os.path.isdir(made.locations.layers):
            made.in_parent(remove_tree, made.locations.data_root)
        remove_tree(str(folder))


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running
