"""`rl image tree`: the layers of an image, or what is built on it."""

import os
from collections.abc import Iterator, Sequence

import click

from cli.sizes import human_size
from cli.tables import emit, printable
from cli.verb import Verb
from rootless.images.store import ImageStore
from rootless.images.tree_view import LayerNode, layer_tree, stack_of
from rootless.locations import from_environment

_DIGITS = 4


@click.command(cls=Verb)
@click.option("--whatrequires", is_flag=True, help="Show all layers of other images that are on this one.")
@click.argument("image", metavar="IMAGE")
def command(*, image: str, whatrequires: bool) -> None:
    """Show the layers of an image as a tree."""
    store = ImageStore(from_environment(os.environ, os.geteuid()))
    found = store.get(image)
    nodes = layer_tree(store)
    stack = stack_of(nodes, found)
    emit(f"Image ID: {found.id.removeprefix('sha256:')[:12]}")
    emit(f"Tags:     [{' '.join(found.names)}]")
    emit(f"Size:     {human_size(found.size, _DIGITS)}")
    emit("Image Layers" if stack else "No Image Layers")
    lines = _branches([(node, ()) for node in stack], "")
    if whatrequires and stack:
        # As podman: what is on a bottom layer stands beside it.
        top = stack[-1]
        lines = _requiring(top.children, [(top, ())] if len(stack) == 1 else [(top, top.children)], beside=len(stack) == 1)
    for line in lines:
        emit(line)


def _requiring(
    children: Sequence[LayerNode], first: list[tuple[LayerNode, Sequence[LayerNode]]], *, beside: bool
) -> Iterator[str]:
    others = [(child, child.children) for child in children] if beside else []
    return _branches([*first, *others], "")


def _branches(entries: Sequence[tuple[LayerNode, Sequence[LayerNode]]], indent: str) -> Iterator[str]:
    """Yield a line a layer, each followed by those on it, indented."""
    for number, (node, children) in enumerate(entries, 1):
        is_last = number == len(entries)
        yield f"{indent}{'└' if is_last else '├'}── {_text(node)}"
        yield from _branches([(child, child.children) for child in children], indent + ("    " if is_last else "│   "))


def _text(node: LayerNode) -> str:
    names = printable(f" Top Layer of: [{' '.join(node.names)}]") if node.names else ""
    return f"ID: {node.chain_id.removeprefix('sha256:')[:12]} Size: {human_size(node.size, _DIGITS):>7}{names}"
