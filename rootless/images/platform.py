"""Which image of an index suits this machine (image-spec image-index.md, "platform" with its variants)."""

import os
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import media_types
from rootless.images.manifest import Blob, blob_of


class Platform(NamedTuple):
    """`os` and `architecture` as Go names them; `variant` of an ARM processor, or empty."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


# uname -m -> Go's name and the variants that run, the best first.
_MACHINES: Final = {
    "x86_64": ("amd64", ("",)),
    "i686": ("386", ("",)),
    "i386": ("386", ("",)),
    "aarch64": ("arm64", ("v8", "")),
    "armv7l": ("arm", ("v7", "v6", "v5", "")),
    "armv6l": ("arm", ("v6", "v5", "")),
    "riscv64": ("riscv64", ("",)),
    "ppc64le": ("ppc64le", ("",)),
    "s390x": ("s390x", ("",)),
    "loongarch64": ("loong64", ("",)),
}
_ALIASES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm"}
_VARIANTS: Final = {name: variants for name, variants in _MACHINES.values() if name != "386"}


def of_machine(machine: str | None = None) -> Platform:
    """Return this machine's platform; `machine` is `uname -m`."""
    machine = machine or os.uname().machine
    name, variants = _MACHINES.get(machine, (machine, ("",)))
    return Platform("linux", name, variants[0])


def parse(text: str) -> Platform:
    """Read `OS[/ARCH[/VARIANT]]` or `ARCH` as `--platform` takes it. Raises `InvalidInput`."""
    parts = text.lower().split("/")
    if not all(parts) or len(parts) > 3:
        raise InvalidInput(f"invalid platform {text!r}", "platforms look like linux/amd64 or linux/arm/v7")
    if len(parts) == 1:
        parts = ["linux", parts[0]] if parts[0] != "linux" else ["linux", of_machine().architecture]
    return Platform(parts[0], _ALIASES.get(parts[1], parts[1]), parts[2] if len(parts) > 2 else "")


def choose(index: dict[str, Any], wanted: Platform) -> Blob:
    """Return the manifest in `index` that suits `wanted` best. Raises `NoSuchObject` naming what there is."""
    descriptors = index.get("manifests")
    if not isinstance(descriptors, list):
        raise CorruptImage("the image index has no list of manifests")
    offers: dict[Platform, Blob] = {}
    for number, descriptor in enumerate(descriptors, 1):
        blob = blob_of(descriptor, f"manifest {number} of the index")
        if blob.media_type in media_types.MANIFESTS or not blob.media_type:
            offers.setdefault(_platform_of(descriptor), blob)
    for candidate in _candidates(wanted):
        if candidate in offers:
            return offers[candidate]
    known = ", ".join(str(offer) for offer in offers if offer.os not in {"", "unknown"}) or "none"
    raise NoSuchObject(f"no image for {wanted} in the index", f"it has: {known}; choose one with --platform")


def _candidates(wanted: Platform) -> list[Platform]:
    """Return the platforms that run where `wanted` is asked for, the best first."""
    variants = _VARIANTS.get(wanted.architecture, ("",))
    if wanted.variant in variants:
        variants = variants[variants.index(wanted.variant) :]
    elif wanted.variant:
        variants = (wanted.variant,)
    return [wanted._replace(variant=variant) for variant in variants]


def _platform_of(descriptor: dict[str, Any]) -> Platform:
    platform = descriptor.get("platform")
    if not isinstance(platform, dict):
        return Platform("", "")
    system, architecture, variant = (str(platform.get(key) or "") for key in ("os", "architecture", "variant"))
    if platform.get("os.features"):  # needs something of the system that we do not know
        return Platform("", "")
    return Platform(system, architecture, variant)
