"""`rl oci`: an OCI runtime command line, as runc and crun have it, for other engines (`podman --runtime`) and bundles."""

import os

import click

from cli.lazy_group import LazyGroup
from cli.oci_verb import Settings
from rootless.locations import from_environment

VERBS = {
    "create": "oci_create",
    "delete": "oci_delete",
    "exec": "oci_exec",
    "features": "oci_features",
    "kill": "oci_kill",
    "list": "oci_list",
    "ps": "oci_ps",
    "run": "oci_run",
    "spec": "oci_spec",
    "start": "oci_start",
    "state": "oci_state",
}
_MANAGERS = ("cgroupfs", "systemd", "disabled")


@click.group(cls=LazyGroup, modules=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", metavar="DIR", help="Where the state of containers is kept (default: $XDG_RUNTIME_DIR/rl/oci).")
@click.option("--log", metavar="FILE", help="Write errors and warnings to a file, too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="The format of --log.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--systemd-cgroup", is_flag=True, help="Make cgroups by systemd.")
@click.option("--cgroup-manager", type=click.Choice(_MANAGERS), default=_MANAGERS[0], help="Who makes cgroups.")
@click.option("--rootless", type=click.Choice(["true", "false", "auto"]), default="auto", hidden=True)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    root: str | None,
    log: str | None,
    log_format: str,
    debug: bool,
    systemd_cgroup: bool,
    cgroup_manager: str,
    rootless: str,  # noqa: ARG001 - runc's; whether we are root is asked of the kernel
) -> None:
    """Run containers from OCI bundles, as runc does."""
    if root is None:
        root = f"{from_environment(os.environ, os.geteuid()).runtime_dir}/oci"
    manager = "systemd" if systemd_cgroup else cgroup_manager
    ctx.obj = Settings(os.path.abspath(root), log, log_format, debug, manager != "disabled")
