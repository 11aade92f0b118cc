"""A volume's files as a tar: `rl volume export` and `import`. Both run in the parent namespace, which has the files' IDs."""

import os
from typing import IO

from rootless.containers.copying.extraction import Owner, extract_archive
from rootless.containers.copying.places import Place
from rootless.errors import CorruptImage, InvalidInput
from rootless.images.archive_blocks import archive_blocks
from rootless.images.compression import Limits
from rootless.images.output_file import write_all
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.merged_tree import MergedTree
from rootless.storage.node_tar import NodeTar
from rootless.storage.volume_options import BIND, TMPFS, parse_options
from rootless.storage.volumes import Volume, VolumeStore


def export_volume(locations: Locations, name: str, output: int) -> None:
    """Write all files of a volume as a tar to a descriptor; what containers change meanwhile may be in it or not.

    The caller is single-threaded. Raises `NoSuchObject`, `InvalidInput`, `OSError`.
    """
    run_in_parent(locations, _write, _folder_of(VolumeStore(locations).get(name)), output)


def import_volume(locations: Locations, name: str, source: IO[bytes], limits: Limits) -> None:
    """Unpack a tar, which may be compressed, into a volume; its files replace those of the same names, and the rest stays.

    The caller is single-threaded. Raises `NoSuchObject`, `InvalidInput`, `NodeLacks`, `OSError`.
    """
    folder = _folder_of(VolumeStore(locations).get(name))
    run_in_parent(locations, _unpack, folder, f"volume {name}", source, limits)


def _folder_of(volume: Volume) -> str:
    source = parse_options(volume.options)
    if source.kind == TMPFS:
        text = f"volume {volume.name} is a tmpfs: it has files only where a container has it"
        raise InvalidInput(text, "use rl cp with that container")
    return source.device if source.kind == BIND else volume.mountpoint


def _write(folder: str, output: int) -> None:
    with MergedTree([folder]) as tree:
        archive = NodeTar(tree, lambda data: write_all(output, data))
        for node in tree.walk():
            archive.add(node)
        archive.finish()


def _unpack(folder: str, shown: str, source: IO[bytes], limits: Limits) -> None:
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.umask(0)
    try:
        extract_archive(Place(root, "/", shown), archive_blocks(source, limits), Owner(archive=True), with_top=True)
    except CorruptImage as error:
        raise InvalidInput(f"cannot import into {shown}: {error.message}", "give a tar, plain or compressed") from None
    finally:
        os.close(root)
