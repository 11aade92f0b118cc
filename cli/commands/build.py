"""`rl build`: make an image from a Dockerfile."""

import os

import click

from cli import image_for_container
from cli.build_steps import options_of_steps, step_options
from cli.key_values import parse_labels
from cli.session import attach_to
from cli.verb import Verb
from rootless.build import context
from rootless.build.agent import parse_ssh
from rootless.build.builder import BuildOptions, build
from rootless.build.cache import StepCache
from rootless.build.secrets import read_secrets
from rootless.build.stage import Engine
from rootless.containers.documents import Document
from rootless.containers.environment import resolve_environment
from rootless.containers.lifecycle import Running
from rootless.containers.options import CreateOptions
from rootless.images.store import Image
from rootless.locations import from_environment, make_private_folder
from rootless.networks import modes


@click.command(cls=Verb)
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="Name the image; may be given several times.")
@click.option("-f", "--file", metavar="FILE", help="The Dockerfile (default: Dockerfile or Containerfile in PATH), or -.")
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME[=VALUE]", help="Set the value of an ARG.")
@click.option("--iidfile", "iid_file", metavar="FILE", help="Write the image's ID to FILE.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Give the image a label.")
@click.option("--network", default="slirp", metavar="MODE", help="The network of RUN, as in rl run (default: slirp).")
@click.option("--build-context", "contexts", multiple=True, metavar="NAME=VALUE", help="A further folder, repository or image.")
@click.option("--no-cache", is_flag=True, help="Run all steps, also those that earlier builds have made.")
@click.option("--no-cache-filter", "uncached", multiple=True, metavar="STAGE", help="Run all steps of these stages.")
@click.option("--platform", metavar="OS/ARCH", help="The platform of the image, and of those it is made from.")
@click.option("--pull", is_flag=True, help="Get newer images of FROM from their registry.")
@click.option("--secret", "secrets", multiple=True, metavar="id=ID[,src=FILE|,env=NAME]", help="For RUN --mount=type=secret.")
@click.option("--ssh", multiple=True, metavar="ID[=PATH]", help="An ssh agent's socket, or keys, for RUN --mount=type=ssh.")
@click.option("--target", metavar="STAGE", help="Build this stage and not the last.")
@click.option("-q", "--quiet", is_flag=True, help="Print the image's ID only.")
@step_options
@click.argument("path", metavar="PATH")
def command(
    *,
    path: str,
    tags: tuple[str, ...],
    file: str | None,
    arguments: tuple[str, ...],
    iid_file: str | None,
    labels: tuple[str, ...],
    contexts: tuple[str, ...],
    network: str,
    no_cache: bool,
    uncached: tuple[str, ...],
    platform: str | None,
    pull: bool,
    secrets: tuple[str, ...],
    ssh: tuple[str, ...],
    target: str | None,
    quiet: bool,
    **of_steps: object,
) -> None:
    """Build an image from a Dockerfile and the files of a context, and print its ID.

    PATH is a folder, the URL of a git repository (URL#REF:FOLDER), - for standard input (a tar, or a Dockerfile alone), or a URL of
    what could be there.
    A .dockerignore says which files are left out.

    Every step runs in a container of its own, but for those that an earlier build has made of the same.
    """
    locations = from_environment(os.environ, os.geteuid())
    modes.parse(network)
    values = dict(entry.partition("=")[::2] for entry in resolve_environment(arguments, os.environ))
    make_private_folder(locations.runtime_dir)

    def follow(running: Running, document: Document) -> int:
        return attach_to(running, document, None, terminal=False, interactive=False, attached=("none",) if quiet else ())

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    def find_image(name: str, platform: str | None) -> Image:
        wanted = CreateOptions(pull="newer" if pull else "missing", pulls_quietly=quiet, platform=platform)
        return image_for_container.find(locations, name, wanted)[0]

    steps = options_of_steps(of_steps, network)
    engine = Engine(locations, os.environ, follow, network, StepCache(locations, reads=not no_cache), say, steps)
    with context.named(locations, contexts) as others, context.opened(locations, path, file) as found:
        options = BuildOptions(
            found.folder,
            found.dockerfile,
            found.name,
            tags,
            values,
            target,
            parse_labels(labels),
            others,
            platform,
            frozenset(name.lower() for one in uncached for name in one.split(",")),
            read_secrets(secrets, os.environ),
            parse_ssh(ssh, os.environ),
        )
        image = build(engine, options, find_image)
    if iid_file is not None:
        with open(iid_file, "w", encoding="ascii") as output:
            output.write(image.id)
    click.echo(image.id)
