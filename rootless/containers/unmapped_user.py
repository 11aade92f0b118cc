"""What a container cannot have whose ID maps leave the user out: its root has no power over the user's files.

What the engine can open for it beforehand it has all the same (`rootless.runtime.unreachable`).
"""

from rootless.containers.documents import Document
from rootless.containers.namespace_modes import maps_of
from rootless.errors import InvalidInput
from rootless.namespaces.custom_maps import have_user

_WORDS = {"subpath": "a path within a volume", "image": "an image", "overlay": "an overlay (the option O)"}


def check_possible(document: Document) -> None:
    """Raise `InvalidInput` for mounts of a new container that its root would have to make within the user's folders."""
    if have_user(maps_of(document)):
        return
    if document["HostConfig"]["Runtime"] != "rl":
        raise InvalidInput("ID maps without your own ID need rl's own runtime", "leave out --runtime and RL_RUNTIME")
    for point in (document["Rl"].get("Staging") or {}).get("Points") or ():
        if point["Kind"] in _WORDS:
            raise InvalidInput(
                f"{_WORDS[point['Kind']]} cannot be mounted in a container whose ID maps do not have your own ID",
                "use --userns keep-id, or --uidmap and --gidmap with a line for outside 0",
            )
