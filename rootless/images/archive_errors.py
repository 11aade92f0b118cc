"""Words for what is wrong with a tar: what reads layers takes every one for a layer of an image in a registry."""

from typing import Final

from rootless.errors import CorruptImage

PULL_AGAIN: Final = "pull the image again"
_MAKE_AGAIN: Final = "the archive is damaged: make it again"


def of_archive(error: CorruptImage, doing: str) -> CorruptImage:
    """Return an error of the reader of layers as that of the user's own archive; `doing` is what cannot be done with it."""
    text = error.message.replace("the layer's tar", "its tar").replace("the layer's", "its").replace("the layer is", "it is")
    return CorruptImage(f"cannot {doing}: {text}", _MAKE_AGAIN if error.hint == PULL_AGAIN else error.hint)
