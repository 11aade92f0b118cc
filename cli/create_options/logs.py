"""Options of what is kept of the container's output."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--log-driver", metavar="DRIVER",
                 help="Where output is kept: json-file (default), k8s-file, local, journald, passthrough, none."),
    click.option("--log-opt", "log_options", multiple=True, metavar="NAME=VALUE",
                 help="max-size, max-file, compress, path, tag, labels, labels-regex, env, env-regex, mode, max-buffer-size."),
)  # fmt: skip


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    texts = given.texts("log_options")
    if not texts and given.text("log_driver") is None:
        return options
    from cli.key_values import parse_driver_options  # with these options only
    from rootless.containers.log_options import log_config

    config = log_config(given.text("log_driver"), tuple(parse_driver_options(texts).items()))
    if config["Type"] == "passthrough" and given.flag("tty"):
        raise InvalidInput("the log driver passthrough cannot be used with a terminal", "leave out -t, or use another log driver")
    return options._replace(log_driver=config["Type"], log_options=tuple(config["Config"].items()))
