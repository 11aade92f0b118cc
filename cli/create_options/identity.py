"""Options that say what a container is known by: labels, annotations, files with its ID and PID."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput, os_error_text

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-l", "--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Set a label."),
    click.option("--label-file", "label_files", multiple=True, metavar="FILE", help="Read labels from a file, one a line."),
    click.option("--annotation", "annotations", multiple=True, metavar="NAME=VALUE", help="Set an OCI annotation."),
    click.option("--cidfile", "cid_file", metavar="FILE", help="Write the container's ID to a new file."),
    click.option("--pidfile", "pid_file", metavar="FILE", help="Write the PID of the container's first process to a file."),
    click.option("--replace", is_flag=True, help="Remove a container that has the same --name first."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    if given.texts("labels") or given.texts("label_files"):
        from cli.key_values import parse_labels  # with these options only

        lines = [line for path in given.texts("label_files") for line in _lines_of(path)]
        options = options._replace(labels=tuple(parse_labels((*lines, *given.texts("labels"))).items()))
    return options._replace(
        annotations=tuple(_pair(text) for text in given.texts("annotations")),
        cid_file=given.text("cid_file") or "",
        pid_file=given.text("pid_file") or "",
        replace=given.flag("replace"),
    )


def _lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except OSError as error:
        raise InvalidInput(f"--label-file: {os_error_text(error)}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"--label-file: {path} is not UTF-8 text") from None
    return [line for line in lines if line and not line.startswith("#")]


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise InvalidInput(f"invalid annotation: {text!r}", "annotations look like NAME=VALUE")
    return name, value
