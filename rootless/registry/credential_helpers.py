"""Credential helpers: programs docker-credential-NAME that keep log-ins in a key ring (docker/docker-credential-helpers).

    get    standard input: the server's name          output: {"Username": …, "Secret": …}
    store  standard input: {"ServerURL": …, "Username": …, "Secret": …}
    erase  standard input: the server's name
    list   no input                                   output: {SERVER: USER, …}

A failure is an exit status other than 0 with a text on standard output. The user name `<token>` marks an identity token.
"""

import json
import re
import subprocess
import threading
from collections.abc import Mapping
from typing import Any, Final

from rootless.errors import InvalidInput, RlError
from rootless.registry.auth_files import DOCKER_KEY, Credentials

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_TOKEN_USER: Final = "<token>"  # noqa: S105 - a name
_SECONDS: Final = 60.0  # a helper may ask the user to unlock a key ring
_MAX_OUTPUT: Final = 1 << 20
_MAX_SAID: Final = 200
_NOT_FOUND: Final = "credentials not found"


def get(name: str, key: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the log-in that a helper has for a key (`HOST[/PATH]`), or None. Raises `RlError`."""
    status, output = _run(name, "get", _server(key).encode(), environ)
    if status != 0:
        if _NOT_FOUND in output.decode(errors="replace"):
            return None
        raise _failed(name, "get", output)
    document = _document(name, output)
    user, secret = document.get("Username"), document.get("Secret")
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RlError(f"the credential helper docker-credential-{name} gave no log-in for {key}")
    if not secret:
        return None
    return Credentials("" if user == _TOKEN_USER else user, secret)


def store(name: str, key: str, credentials: Credentials, environ: Mapping[str, str]) -> None:
    """Give a helper a log-in to keep. Raises `RlError`."""
    content = {"ServerURL": _server(key), "Username": credentials.user or _TOKEN_USER, "Secret": credentials.password}
    status, output = _run(name, "store", json.dumps(content).encode(), environ)
    if status != 0:
        raise _failed(name, "store", output)


def erase(name: str, key: str, environ: Mapping[str, str]) -> None:
    """Let a helper forget a log-in; one that it does not have is no error. Raises `RlError`."""
    status, output = _run(name, "erase", _server(key).encode(), environ)
    if status != 0 and _NOT_FOUND not in output.decode(errors="replace"):
        raise _failed(name, "erase", output)


def _server(key: str) -> str:
    return DOCKER_KEY if key == "docker.io" else key


def _run(name: str, verb: str, content: bytes, environ: Mapping[str, str]) -> tuple[int, bytes]:
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"invalid name of a credential helper: {name!r:.100}", "it is NAME in docker-credential-NAME")
    try:
        process = subprocess.Popen(
            [program, verb], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(environ)
        )
    except OSError as error:
        hint = "install it, or remove credsStore and credHelpers from the file with the log-ins"
        raise RlError(f"cannot run the credential helper {program}: {error.strerror}", hint) from error
    timer = threading.Timer(_SECONDS, process.kill)
    timer.start()
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(content)
                process.stdin.close()
            except BrokenPipeError:  # it ended early: its status and output say why
                pass
            output = process.stdout.read(_MAX_OUTPUT)
            process.stdout.close()  # one that says more gets SIGPIPE
    finally:
        timer.cancel()
    return process.returncode, output


def _document(name: str, output: bytes) -> dict[str, Any]:
    try:
        document = json.loads(output)
    except ValueError:  # the error's own text may quote a secret
        document = None
    if not isinstance(document, dict):
        raise RlError(f"the credential helper docker-credential-{name} sent no JSON object")
    return document


def _failed(name: str, verb: str, output: bytes) -> RlError:
    text = output.decode(errors="replace").strip()[:_MAX_SAID] if verb != "store" else ""
    said = "".join(letter if letter.isprintable() else "?" for letter in text)
    return RlError(f"the credential helper docker-credential-{name} cannot {verb} a log-in{f': {said}' if said else ''}")
