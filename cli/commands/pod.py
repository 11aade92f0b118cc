"""`rl pod`: the verbs of pods."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "create": "pod_create",
    "exists": "pod_exists",
    "inspect": "pod_inspect",
    "list": "pod_ps",
    "ls": "pod_ps",
    "ps": "pod_ps",
    "rm": "pod_rm",
    "start": "pod_start",
    "stop": "pod_stop",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with pods: containers that share network, IPC and host name."""
