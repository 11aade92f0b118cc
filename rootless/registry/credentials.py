"""Log-ins that Docker, podman, skopeo or `rl login` stored: which file, key or helper has the one for a repository."""

from collections.abc import Iterator, Mapping

from rootless.registry import auth_files, credential_helpers
from rootless.registry.auth_files import AuthFile, Credentials, normalised

__all__ = ["Credentials", "find", "find_in"]


def find(host: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the log-in for a repository: the first file that has one, in it the most specific key. None: anonymous.

    Raises `InvalidInput` for a file that is not what it should be, `RlError` of a credential helper that fails.
    """
    for location in auth_files.locations(environ):
        found = find_in(auth_files.read(location), host, path, environ)
        if found is not None:
            return found
    return None


def find_in(file: AuthFile, host: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """Return the log-in that one file, or the helper that it names, has for a repository. Errors as `find`."""
    for key in _keys(host, path):
        # A helper is started where its host is named or the file says that it has this key, and for the host itself.
        helper = file.helper_for(key)
        if helper is not None and (key in file.auths or "/" not in key):
            found = credential_helpers.get(helper, key, environ)
            if found is not None:
                return found
        found = file.entry(key)
        if found is not None:
            return found
    return None


def _keys(host: str, path: str) -> Iterator[str]:
    """Yield host/a/b, host/a, host."""
    name = f"{normalised(host)}/{path}" if path else normalised(host)
    while name:
        yield name
        name = name.rpartition("/")[0]
