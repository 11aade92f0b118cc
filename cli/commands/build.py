"""`rl build`: make an image from a Dockerfile."""

import os
import sys

import click

from cli import image_for_container
from cli.key_values import parse_labels
from cli.session import attach_to
from cli.verb import Verb
from rootless.build.builder import BuildOptions, build
from rootless.build.cache import StepCache
from rootless.build.stage import Engine
from rootless.containers.documents import Document
from rootless.containers.environment import resolve_environment
from rootless.containers.lifecycle import Running
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput, os_error_text
from rootless.locations import from_environment, make_private_folder
from rootless.networks import modes

_LIMIT = 16 << 20  # bytes of a Dockerfile


@click.command(cls=Verb)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="Name the image; may be given several times.")
@click.option("-f", "--file", metavar="FILE", help="The Dockerfile (default: Dockerfile or Containerfile in PATH).")
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME[=VALUE]", help="Set the value of an ARG.")
@click.option("--iidfile", "iid_file", metavar="FILE", help="Write the image's ID to FILE.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Give the image a label.")
@click.option("--network", default="slirp", metavar="MODE", help="The network of RUN, as in rl run (default: slirp).")
@click.option("--no-cache", is_flag=True, help="Run all steps, also those that earlier builds have made.")
@click.option("--pull", is_flag=True, help="Get newer images of FROM from their registry.")
@click.option("--target", metavar="STAGE", help="Build this stage and not the last.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's ID only.")
@click.argument("path", metavar="PATH")
def command(
    *,
    path: str,
    tags: tuple[str, ...],
    file: str | None,
    arguments: tuple[str, ...],
    iid_file: str | None,
    labels: tuple[str, ...],
    network: str,
    no_cache: bool,
    pull: bool,
    target: str | None,
    quiet: bool,
) -> None:
    """Build an image from a Dockerfile and the files in the folder PATH, and print its ID.

    Every step runs in a container of its own, but for those that an earlier build has made of the same.
    """
    locations = from_environment(os.environ, os.geteuid())
    if not os.path.isdir(path):
        raise InvalidInput(f'unable to prepare context: path "{path}" not found', "give a folder")
    modes.parse(network)
    values = dict(entry.partition("=")[::2] for entry in resolve_environment(arguments, os.environ))
    options = BuildOptions(os.path.abspath(path), _dockerfile(path, file), tags, values, target, parse_labels(labels))
    make_private_folder(locations.runtime_dir)

    def follow(running: Running, document: Document) -> int:
        return attach_to(running, document, None, terminal=False, interactive=False, attached=("none",) if quiet else ())

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    wanted = CreateOptions(pull="newer" if pull else "missing", pulls_quietly=quiet)
    engine = Engine(locations, os.environ, follow, network, StepCache(locations, reads=not no_cache), say)
    image = build(engine, options, lambda name: image_for_container.find(locations, name, wanted)[0])
    if iid_file is not None:
        with open(iid_file, "w", encoding="ascii") as output:
            output.write(image.id)
    click.echo(image.id)


def _dockerfile(folder: str, given: str | None) -> str:
    """Return the text of the Dockerfile; `-` is standard input. Raises `InvalidInput`."""
    if given == "-":
        return sys.stdin.buffer.read(_LIMIT).decode(errors="replace")
    names = [given] if given is not None else [f"{folder}/Dockerfile", f"{folder}/Containerfile"]
    for name in names:
        try:
            with open(name, encoding="utf-8", errors="replace") as file:
                return file.read(_LIMIT)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInput(f"cannot read the Dockerfile: {os_error_text(error)}") from error
    raise InvalidInput(f"failed to read dockerfile: open {names[0]}: no such file or directory", "name it with -f")
