"""`rl login`: log in to a registry."""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import click

from cli.tables import emit, printable
from cli.verb import GoFlags
from rootless.errors import InvalidInput, NoSuchObject, RegistryError

if TYPE_CHECKING:
    from rootless.registry.auth_files import Credentials
    from rootless.registry.login import Server, Stored

_MAX_PASSWORD: Final = 64 << 10


@click.command(cls=GoFlags)
@click.option("-u", "--username", metavar="USER", help="The user name.")
@click.option("-p", "--password", metavar="PASSWORD", help="The password; others can see it in the list of processes.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--authfile", metavar="FILE", help="Where to keep the log-in; also REGISTRY_AUTH_FILE.")
@click.option("--get-login", is_flag=True, help="Print the name of the user who is logged in.")
@click.option("--tls-verify/--no-tls-verify", default=None, help="Insist on TLS, or (--tls-verify=false) do without.")
@click.argument("server", default="docker.io", metavar="[SERVER]")
def command(
    *,
    server: str,
    username: str | None,
    password: str | None,
    password_stdin: bool,
    authfile: str | None,
    get_login: bool,
    tls_verify: bool | None,
) -> None:
    """Log in to a registry (docker.io where none is given), and keep the log-in."""
    from rootless.registry import credentials  # loads httpx and trio beside it: not for `rl --help`
    from rootless.registry.login import parse_server, store

    environ = {**os.environ, "REGISTRY_AUTH_FILE": authfile} if authfile else dict(os.environ)
    wanted = parse_server(server)
    if get_login:
        found = credentials.find(*wanted, environ)
        if found is None:
            raise NoSuchObject(f"not logged into {wanted.key}", f"rl login {wanted.key}")
        emit(found.user or "<token>")
        return
    _check_options(username, password, password_stdin=password_stdin)
    if password_stdin:
        password = _password_of_stdin()
    elif password is not None:
        print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.", file=sys.stderr)  # noqa: T201
    known = credentials.find(*wanted, environ) if username is None and password is None else None
    if known is not None and _still_valid(wanted, known, environ, tls_verify=tls_verify):
        emit("Login Succeeded")
        return
    login = _asked(username, password, known)
    _verify(wanted, login, environ, tls_verify=tls_verify)
    _warn(store(wanted, login, environ), environ)
    emit("Login Succeeded")


def _check_options(username: str | None, password: str | None, *, password_stdin: bool) -> None:
    if password_stdin and password is not None:
        raise InvalidInput("--password and --password-stdin are mutually exclusive")
    if password_stdin and not username:
        raise InvalidInput("must provide --username with --password-stdin")


def _password_of_stdin() -> str:
    content = sys.stdin.buffer.read(_MAX_PASSWORD + 1)
    if len(content) > _MAX_PASSWORD:
        raise InvalidInput("the password on standard input is too long")
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:  # the error's own text would show a part of it
        raise InvalidInput("the password on standard input is not UTF-8") from None


def _still_valid(server: "Server", known: "Credentials", environ: Mapping[str, str], *, tls_verify: bool | None) -> bool:
    """Try the log-in that is kept; where it is refused a terminal's user is asked for another."""
    print("Authenticating with existing credentials...", file=sys.stderr)  # noqa: T201
    try:
        _verify(server, known, environ, tls_verify=tls_verify)
    except RegistryError as error:
        if not sys.stdin.isatty():
            raise
        print(f"Login did not succeed, error: {printable(error.message)}", file=sys.stderr)  # noqa: T201
        return False
    return True


def _verify(server: "Server", login: "Credentials", environ: Mapping[str, str], *, tls_verify: bool | None) -> None:
    from rootless.registry.login import verify

    verify(server, login, environ=environ, tls_verify=tls_verify)


def _asked(username: str | None, password: str | None, known: "Credentials | None") -> "Credentials":
    """Return the log-in of the options; what they lack is asked for on the terminal, the password without showing it."""
    from rootless.registry.auth_files import Credentials

    if (username is None or password is None) and not sys.stdin.isatty():
        raise InvalidInput("cannot perform an interactive login from a non TTY device", "give -u USER and --password-stdin")
    if username is None:
        default = known.user if known is not None else ""
        username = _line(f"Username ({default}): " if default else "Username: ") or default
    if password is None:
        import getpass  # only to ask

        try:
            password = getpass.getpass("Password: ", sys.stderr)
        except EOFError:
            password = ""
    if not username or not password:
        raise InvalidInput("a log-in needs a user name and a password")
    return Credentials(username, password)


def _line(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip()


def _warn(stored: "Stored", environ: Mapping[str, str]) -> None:
    """Say where a password is readable on disk; the runtime directory is in memory, and gone with the session."""
    runtime = environ.get("XDG_RUNTIME_DIR")
    if stored.helper is None and not (runtime and stored.path.startswith(f"{runtime}/")):
        print(f"WARNING! Your password is stored unencrypted in {stored.path}.", file=sys.stderr)  # noqa: T201
