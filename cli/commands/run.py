"""`rl run`: make a container from an image and start it."""

import os
import sys

import click

from cli.session import attach_to, console_size_of_stdin, detached_start, require_terminal, warn_about_maps
from rootless.containers import lifecycle
from rootless.containers.create import create
from rootless.containers.options import CreateOptions, parse_mount, parse_volume, read_env_file, resolve_environment
from rootless.images import transports
from rootless.images.store import Image, ImageStore
from rootless.locations import Locations, from_environment, make_private_folder

# -h is the host name, as in Docker; what follows the image belongs to the container.
_CONTEXT = {"help_option_names": ["--help"], "allow_interspersed_args": False}


@click.command(context_settings=_CONTEXT)
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give the container a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the container's ID.")
@click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends.")
@click.option("--name", help="Name the container.")
@click.option("-e", "--env", "environment", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable.")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Read environment variables from a file.")
@click.option("-w", "--workdir", metavar="DIR", help="The working directory inside the container.")
@click.option("-u", "--user", metavar="NAME|UID[:GROUP|GID]", help="The user inside the container.")
@click.option("--entrypoint", metavar="COMMAND", help="Replace the image's entry point.")
@click.option("-h", "--hostname", metavar="NAME", help="The container's host name.")
@click.option("--network", "--net", default="slirp", metavar="MODE", help="none, host, or slirp (a private network; the default).")
@click.option("-v", "--volume", "volumes", multiple=True, metavar="SOURCE:TARGET[:ro]", help="Bind a folder or file of the node.")
@click.option("--mount", "mounts", multiple=True, metavar="type=bind|tmpfs,…", help="Mount something, in the long form.")
@click.option("--read-only", is_flag=True, help="Make the container's root read-only.")
@click.option("--init", is_flag=True, help="Run an init that forwards signals and reaps processes.")
@click.option("--detach-keys", metavar="KEYS", help="The keys that detach (default: ctrl-p,ctrl-q).")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(image: str, command: tuple[str, ...], **options: object) -> int:
    """Make a container from IMAGE, start COMMAND in it, and show what it writes."""
    locations = from_environment(os.environ, os.geteuid())
    wanted = _options(command, options)
    detached = bool(options["detach"])
    require_terminal(tty=wanted.terminal, interactive=wanted.interactive, detached=detached)
    make_private_folder(locations.runtime_dir)
    warn_about_maps()
    transport = transports.parse(image)
    if transport is not None and not transport.is_registry:
        found = _read_archive(locations, transport)
    else:
        image = transports.plain_name(image)
        found = ImageStore(locations).find(image) or _pull(locations, image)
    with lifecycle.signals_held():
        document, lock = create(locations, os.environ, found, image, wanted._replace(attach=not detached))
        running = lifecycle.begin(locations, document, lock, console_size_of_stdin() if wanted.terminal else None)
    if detached:
        detached_start(running)
        print(document["Id"])  # noqa: T201
        return 0
    return attach_to(running, document, wanted.detach_keys, terminal=wanted.terminal, interactive=wanted.interactive)


def _options(command: tuple[str, ...], given: dict[str, object]) -> CreateOptions:
    cwd = _working_folder()
    entries = [entry for path in _texts(given["env_files"]) for entry in read_env_file(path, os.environ)]
    entries += resolve_environment(_texts(given["environment"]), os.environ)
    mounts = [parse_volume(text, cwd) for text in _texts(given["volumes"])]
    mounts += [parse_mount(text, cwd) for text in _texts(given["mounts"])]
    return CreateOptions(
        arguments=command,
        name=_text(given["name"]),
        interactive=bool(given["interactive"]),
        terminal=bool(given["tty"]),
        remove=bool(given["remove"]),
        environment=tuple(entries),
        workdir=_text(given["workdir"]),
        user=_text(given["user"]),
        entrypoint=_text(given["entrypoint"]),
        hostname=_text(given["hostname"]),
        network=_text(given["network"]) or "slirp",
        mounts=tuple(mounts),
        read_only=bool(given["read_only"]),
        init=bool(given["init"]),
        detach_keys=_text(given["detach_keys"]),
    )


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us: relative sources are looked for in /
        return "/"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(values: object) -> tuple[str, ...]:
    assert isinstance(values, tuple)
    return values


def _pull(locations: Locations, name: str) -> Image:
    """Pull an image that is not there, saying so on standard error as Docker does."""
    from cli.progress import pull_with_progress  # a pull is not on the path of a start

    print(f"Unable to find image '{name}' locally", file=sys.stderr)  # noqa: T201
    return pull_with_progress(locations, name, quiet=False, stream=sys.stderr, if_missing=True)


def _read_archive(locations: Locations, transport: transports.Transport) -> Image:
    from cli.transports import tell  # not on the path of a start from the store
    from rootless.images.trust import policy

    return transports.read_into_store(locations, transport, note=tell, policy=policy.load(os.environ))
