"""What one command says about registries beyond what files do: its own log-in, and whether TLS is a must."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rootless.registry.auth_files import Credentials
    from rootless.registry.configuration import Endpoint, Registries


class Access(NamedTuple):
    """How to reach registries. The modules that read files are imported only when something is pulled or pushed.

    `login` is for the registry that the command names, never for its mirrors, and comes before any that is stored. `tls_verify`:
    None is as registries.conf says, and as Docker does on loopback; True is TLS always, False is without where there is none.
    """

    login: "Credentials | None" = None
    tls_verify: bool | None = None

    def registries(self, environ: Mapping[str, str], etc: str) -> "Registries":
        """Read registries.conf. Raises as `configuration.load`."""
        from rootless.registry import configuration  # parses TOML

        return configuration.load(environ, etc)._replace(tls_verify=self.tls_verify)

    def login_for(self, endpoint: "Endpoint", environ: Mapping[str, str], *, is_mirror: bool = False) -> "Credentials | None":
        """Return the log-in for a repository; None: anonymous. Raises as `credentials.find`."""
        from rootless.registry import credentials

        own = None if is_mirror else self.login
        return own or credentials.find(endpoint.host, endpoint.path, environ)


AS_FILES_SAY = Access()
