"""Podman's options of verbs that talk with a registry: `--authfile`, `--creds`, `--tls-verify`."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rootless.errors import InvalidInput
from rootless.registry.access import Access

if TYPE_CHECKING:
    from rootless.registry.auth_files import Credentials


class Reach(NamedTuple):
    """What the options say: the environment with the files of log-ins, and what is for this command only."""

    environ: Mapping[str, str]
    access: Access


def registry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command with `GoFlags`, which gets what they mean as `by`."""

    @functools.wraps(function)
    def with_reach(*, authfile: str | None, creds: str | None, tls_verify: bool | None, **others: Any) -> Any:
        return function(by=_reach(authfile, creds, tls_verify), **others)

    verify = click.option("--tls-verify/--no-tls-verify", default=None, help="Insist on TLS, or (--tls-verify=false) do without.")
    creds = click.option("--creds", metavar="USER[:PASSWORD]", help="Log in with this; others can see it in the list of processes.")
    authfile = click.option("--authfile", metavar="FILE", help="Where log-ins are kept; also REGISTRY_AUTH_FILE.")
    options: Callable[..., Any] = authfile(creds(verify(with_reach)))
    return options


def _reach(authfile: str | None, creds: str | None, tls_verify: bool | None) -> Reach:
    """Read the options. Raises `InvalidInput` for a file that is not there, a log-in that lacks something."""
    if authfile is not None and not os.path.exists(authfile):
        raise InvalidInput(f"no such file with log-ins: {authfile}", "`rl login --authfile FILE` makes one")
    environ = {**os.environ, "REGISTRY_AUTH_FILE": authfile} if authfile else os.environ
    return Reach(environ, Access(_login(creds) if creds is not None else None, tls_verify))


def _login(creds: str) -> "Credentials":
    from rootless.registry.auth_files import Credentials  # with the option only

    user, _, password = creds.partition(":")
    if user and not password and sys.stdin.isatty():
        import getpass  # only to ask

        password = getpass.getpass("Password: ", sys.stderr)
    if not user or not password:
        raise InvalidInput("--creds needs a user name and a password", "give USER:PASSWORD, or log in by `rl login`")
    return Credentials(user, password)
