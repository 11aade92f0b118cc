"""IDs and made-up names of containers."""

import os

_ADJECTIVES = (
    "amber bold brave bright calm clever cosmic crisp daring eager early fair fleet fond gentle glad golden grand happy hardy "
    "honest humble ideal jolly keen kind light lively loyal lucid lucky mellow merry mighty modest neat nimble noble polite "
    "proud quick quiet rapid ready royal shy silent silver smart smooth solid sound steady sunny swift tidy vivid warm wise witty"
)
_NOUNS = (
    "acorn anchor badger beacon birch brook canyon cedar comet condor coral crane delta dune eagle ember falcon fern finch fjord "
    "forest fox garnet glacier grove harbor hawk heron island ivy jasper kestrel lagoon lantern larch lark lily lynx maple marten "
    "meadow mesa oak orchid otter owl pebble pine plover quartz raven reef ridge robin sparrow spruce thistle tulip walrus willow"
)


def new_id() -> str:
    """Return a random container ID: 64 hexadecimal digits."""
    return os.urandom(32).hex()


def made_up_name(container_id: str) -> str:
    """Return a name such as `calm_otter_3f2a`, fixed by the ID."""
    number = int(container_id[:12], 16)
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    return f"{adjectives[number % len(adjectives)]}_{nouns[number // len(adjectives) % len(nouns)]}_{container_id[-4:]}"
