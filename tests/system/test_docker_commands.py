"""Docker's command lines and the shape of what they print: columns, JSON fields, exit statuses, kinds of errors.

A table from Docker's reference pages (docs.docker.com/reference/cli/docker). Rows that podman agrees with are run through podman,
too, so that the table is not only our reading of those pages. The containers are `web`, which runs, `done`, which has ended with 3,
and `fresh`, which was only created.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.engine import Engine, Result, check_and_remove, copy_store, make_folder
from tests.support.podman import Podman

pytestmark = pytest.mark.engine

_ID: Final = r"[0-9a-f]{12}"
_LONG_ID: Final = r"[0-9a-f]{64}"
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
_NO_CONTAINER: Final = r"(?i)no such container"


class Row(NamedTuple):
    """A command line, its exit status, what its output matches from the start on, and its errors anywhere."""

    line: str  # words; IMAGE stands for the image
    status: int = 0
    out: str = ""
    err: str = ""
    podman: bool = True


TABLE: Final = (
    # Lists and their columns.
    Row("ps", 0, r"CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n"),
    Row("ps", 0, rf'.*\n{_ID} +\S*busybox\S* +"?sleep 1000"? +.* ago +Up .* +web\n'),
    Row("ps -a", 0, r".*Exited \(3\) .* ago.*done\n.*"),
    Row("ps -q", 0, rf"{_ID}\n$"),
    Row("ps -aq", 0, rf"({_ID}\n){{3}}$"),
    Row("ps -q --no-trunc", 0, rf"{_LONG_ID}\n$"),
    Row("ps -a --format {{.Names}}", 0, r"fresh\ndone\nweb\n$", podman=False),  # podman lists the oldest first
    Row("ps --format {{.ID}}|{{.Image}}|{{.Names}}", 0, rf"{_ID}\|\S*busybox\S*\|web\n$"),
    Row("ps --format {{.State}}", 0, r"running\n$", podman=False),  # podman 4: the status
    Row("ps --format json", 0, r'\{"Command":.*"ID":.*"Image":.*"Names":"web".*\}\n$', podman=False),  # podman: an array
    Row("ps --format table({{.Names}}", 0, r"table\(web\n$", podman=False),
    Row("ps -a --filter status=exited --format {{.Names}}", 0, r"done\n$"),
    Row("ps -a --filter exited=3 --format {{.Names}}", 0, r"done\n$"),
    Row("ps -a --filter name=web --format {{.Names}}", 0, r"web\n$"),
    Row("ps -a --filter label=role=front --format {{.Names}}", 0, r"web\n$"),
    Row("ps -a --filter label=nosuch -q", 0, r"$"),
    Row("ps -l --format {{.Names}}", 0, r"fresh\n$"),
    Row("ps -n 2 -q", 0, rf"({_ID}\n){{2}}$"),
    Row("ps --filter nosuch=1", 1, r"$", r".*invalid filter", podman=False),  # podman: 125
    Row("images", 0, r"REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\n\S*busybox +latest +[0-9a-f]{12} .* \S+ ?[kM]B\n$"),
    Row("images -q", 0, rf"{_ID}\n$"),
    Row("images --no-trunc -q", 0, rf"sha256:{_LONG_ID}\n$"),
    Row("images --digests", 0, r"REPOSITORY +TAG +DIGEST +IMAGE ID +CREATED +SIZE\n"),
    Row("images --format {{.Repository}}:{{.Tag}}", 0, r"\S*busybox:latest\n$"),
    Row("history IMAGE", 0, r"(IMAGE|ID) +CREATED +CREATED BY +SIZE +COMMENT\n"),
    Row("volume ls", 0, r"DRIVER +VOLUME NAME\nlocal +data\n$"),
    Row("volume ls -q", 0, r"data\n$"),
    Row("system df", 0, r"TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +1 .*Containers +3 +1 .*Local Volumes +1 "),
    Row("diff web", 0, r"A /made\n$", podman=False),  # podman: also what it mounts
    Row("top web", 0, r"UID +PID +PPID .*CMD\n.*sleep 1000\n$", podman=False),  # podman: columns of its own
    # Objects and their fields.
    Row("inspect web", 0, r'\[\n +\{\n.*"Id": "[0-9a-f]{64}".*"State": \{.*"Config": \{.*\n\]\n$'),
    Row("inspect --format {{.State.Status}} web", 0, r"running\n$"),
    Row("inspect --format {{.State.ExitCode}} done", 0, r"3\n$"),
    Row("inspect -f {{.State.Running}} fresh", 0, r"false\n$"),
    Row("inspect -f {{.Config.Hostname}} web", 0, rf"{_ID}\n$"),
    Row("inspect -f {{.Path}}|{{.Args}} web", 0, r"sleep\|\[1000\]\n$"),
    Row("inspect -f {{json(.Config.Cmd)}} web", 0, r'\["sleep","1000"\]\n$'),
    Row("inspect -f {{.Created}} web", 0, rf"({_TIME}|.* UTC)\n$"),
    Row('inspect -f {{index(.Config.Labels)"role"}} web', 0, r"front\n$"),
    Row("inspect -f {{.HostConfig.RestartPolicy.Name}} web", 0, r"no\n$", podman=False),  # podman: empty
    Row("inspect -f {{len(.Mounts)}} web", 0, r"0\n$"),
    Row("inspect -f {{range(.Config.Env)}}{{println(.)}}{{end}} web", 0, r"(.*\n)*WORD=value\n"),
    Row("inspect nope", 1, r"\[\]\n$", r".*(?i:no such object)", podman=False),  # podman: 125
    Row("image inspect -f {{.Os}} IMAGE", 0, r"linux\n$"),
    Row("volume inspect -f {{.Driver}} data", 0, r"local\n$"),
    Row("version --format {{.Client.Version}}", 0, r"\d+\.\d+\.\d+\n$"),
    Row("info --format {{.Driver}}", 0, r"overlay|fuse|vfs", podman=False),
    # What commands print and return.
    Row("run --rm IMAGE echo hi", 0, r"hi\n$"),
    Row("run --rm IMAGE false", 1, r"$"),
    Row("run --rm IMAGE nosuch", 127, r"$", r".*(?i:not found)"),
    Row("run --rm IMAGE /etc", 126, r"$", r".*(?i:permission denied|is a directory)"),
    Row("run --nosuch IMAGE", 125, r"$", r".*(?i:unknown flag|no such option)"),
    Row("run --name web IMAGE true", 125, r"$", r'.*container name "/?web" is already in use'),
    Row("run --pull never nosuch:1", 125, r"$", r".*(?i:no such image|image not known)"),
    Row("exec web echo hi", 0, r"hi\n$"),
    Row("exec web false", 1, r"$"),
    Row("exec web nosuch", 127, r"", r".*(?i:not found)"),
    Row("exec done true", 1, r"$", r".*is not running", podman=False),  # podman: 255
    Row("exec nope true", 1, r"$", _NO_CONTAINER, podman=False),  # podman: 125
    Row("logs done", 0, r"out\n$", r"err\n$"),
    Row("logs -t done", 0, rf"{_TIME} out\n$"),
    Row("logs --tail 0 done", 0, r"$"),
    Row("logs nope", 1, r"$", _NO_CONTAINER, podman=False),
    Row("wait done", 0, r"3\n$"),
    Row("stop done", 0, r"(done|[0-9a-f]{64})\n$"),
    Row("kill done", 1, r"$", r".*is not running", podman=False),
    Row("rm web", 1, r"$", r".*running", podman=False),
    Row("rm nope", 1, r"$", _NO_CONTAINER, podman=False),  # podman 4: 1 with its own words
    Row("start nope", 1, r"$", _NO_CONTAINER, podman=False),
    Row("rename nope other", 1, r"$", _NO_CONTAINER, podman=False),
    Row("rename done web", 1, r"$", r".*already in use", podman=False),
    Row("rmi nope", 1, r"$", r".*(?i:no such image|image not known)"),
    Row("rmi IMAGE", 1, r"$", r".*unable to remove .*must be forced", podman=False),  # podman: 2
    Row("tag nope other", 1, r"$", r".*(?i:no such image)", podman=False),
    Row("volume rm nope", 1, r"$", r".*(?i:no such volume)"),
    Row("volume create data2", 0, r"data2\n$"),
    Row("nosuchverb", 1, r"$", r".*(?i:nosuchverb)", podman=False),
)


def _words(line: str, image: str) -> list[str]:
    """Split a line of the table, in which `f(x)` stands for the template's `f x`."""
    words = []
    for word in line.split():
        spaced = re.sub(r"(index|json|len|range|println)\(([^)]*)\)", r"\1 \2 ", word) if "{{" in word else word
        words.append(image if word == "IMAGE" else spaced)
    return words


def _populate(run: Callable[..., Result], image: str) -> None:
    run("volume", "create", "data")
    options = ("--name", "web", "--label", "role=front", "-e", "WORD=value", "--network", "none")
    run("run", "-d", *options, image, "sleep", "1000")
    run("exec", "web", "touch", "/made")
    run("run", "--name", "done", "--network", "none", image, "sh", "-c", "echo out; echo err >&2; exit 3", check=3)
    run("create", "--name", "fresh", "--network", "none", image, "true")


@pytest.fixture(scope="module")
def ours(busybox_store: Path) -> Iterator[Engine]:
    """An engine with the containers of the table."""
    made = Engine(make_folder())
    copy_store(busybox_store, made.data_root)
    _populate(made.rl, "busybox")
    yield made
    check_and_remove(made)


@pytest.fixture(scope="module")
def theirs() -> Iterator[Podman]:
    """The same in podman."""
    made = Podman("runc")
    _populate(made, "localhost/busybox")
    yield made
    made.close()


def _check(row: Row, result: Result) -> None:
    assert (result.status, bool(re.match(row.out, result.stdout, re.DOTALL))) == (row.status, True), result
    assert re.search(row.err, result.stderr, re.DOTALL), result


def _name(row: Row) -> str:
    return row.line.replace(" ", "_")


@pytest.mark.parametrize("row", TABLE, ids=_name)
def test_rl_answers_as_docker(ours: Engine, row: Row) -> None:
    _check(row, ours.rl(*_words(row.line, "busybox"), check=None))


@pytest.mark.parametrize("row", [row for row in TABLE if row.podman], ids=_name)
def test_podman_agrees(theirs: Podman, row: Row) -> None:
    _check(row, theirs(*_words(row.line, "localhost/busybox"), check=None))
