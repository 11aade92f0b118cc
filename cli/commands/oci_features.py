"""`rl oci features`: what this runtime can do, as JSON."""

import json

import click

from cli.oci_verb import OciVerb, Settings


@click.command(cls=OciVerb)
def command(_settings: Settings) -> None:
    """Print the features document of the specification."""
    from rootless.runtime.oci.features import features  # with libseccomp

    print(json.dumps(features(), indent=2))  # noqa: T201
