"""Where commands are looked for in a container whose environment does not say it: Docker's default."""

from typing import Final

SEARCH_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_PATH: Final = f"PATH={SEARCH_PATH}"
