"""The environment that the user gives a container: `-e` and `--env-file`, by Docker's rules."""

from collections.abc import Mapping, Sequence

from rootless.errors import InvalidInput, os_error_text


def read_env_file(path: str, environ: Mapping[str, str]) -> list[str]:
    """Return the variables of an `--env-file`: a line each, `#` for comments; a bare name is taken from `environ`."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        raise InvalidInput(f"--env-file: no such file: {path}") from None
    except OSError as error:
        raise InvalidInput(f"--env-file: {os_error_text(error)}") from error
    except UnicodeDecodeError:
        raise InvalidInput(f"--env-file: {path} is not UTF-8 text") from None
    entries = [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return resolve_environment(entries, environ)


def resolve_environment(entries: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return `-e` entries as NAME=VALUE; a bare name is taken from `environ`, and left out where that lacks it."""
    resolved = []
    for entry in entries:
        name, separator, _value = entry.partition("=")
        if not name or any(character.isspace() for character in name):
            raise InvalidInput(f"invalid environment variable: {entry!r}", "give NAME=VALUE, or NAME to take it from here")
        if separator:
            resolved.append(entry)
        elif name in environ:
            resolved.append(f"{name}={environ[name]}")
    return resolved


def merge(entries: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return `--env-merge` entries as NAME: NAME=VALUE, with ${NAME} and $NAME replaced by what `defaults` (of that form) has."""
    import string  # for this only

    values = {name: entry.partition("=")[2] for name, entry in defaults.items()}
    merged: dict[str, str] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        values[name] = string.Template(value).safe_substitute(values)
        merged[name] = f"{name}={values[name]}"
    return merged
