"""Paths inside a container's root are resolved by openat2 inside that root, and nowhere else.

A plain path, once the root is in play, may lead through a symbolic link of the image to the node's files, or through a magic link
to a descriptor of ours. So the modules that work on a root take no path but relative to a descriptor (`dir_fd`); the few plain ones
are listed here, each with its reason.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

QUOTES = re.compile(r"""['"\\]""")  # which ones `ast.unparse` writes depends on the version of Python
SOURCES = Path(__file__).parents[3] / "rootless"

# os.NAME, or os.path.NAME, or a function of mounts that take a path first.
TAKES_A_PATH = {
    "access", "chdir", "chmod", "chown", "lchown", "link", "listdir", "listxattr", "lstat", "makedirs", "mkdir", "mkfifo", "mknod",
    "open", "readlink", "remove", "rename", "replace", "rmdir", "scandir", "setxattr", "stat", "statvfs", "symlink", "truncate",
    "unlink", "utime", "walk", "exists", "isdir", "isfile", "islink", "realpath", "samefile", "clone_tree", "mount", "unmount",
}  # fmt: skip

# Modules that work on a container's root or run inside it -> plain paths in them, as they are written, and why they are harmless.
ALLOWED: dict[str, dict[str, str]] = {
    "runtime/init.py": {
        "plan.root": "where the stage has mounted the root, in the engine's own folder",
        "'/'": "after the change of root",
        "'.'": "the root, that the caller has changed to by its descriptor",
    },
    "runtime/join.py": {
        "'/'": "the root of the mount namespace that was joined",
        "f'/proc/{pid}/ns/{name}'": "before entering: the node's /proc",
        "f'/proc/self/ns/{name}'": "likewise",
    },
    "runtime/stage.py": {"plan.root": "as in init", "'/'": "the mount namespace's own root", "None": "no source"},
    "runtime/process.py": {
        "cwd": "after the change of root, with all descriptors of ours closed; checked by getcwd",
        "path": "likewise",
        "os.path.join(process['cwd'], command)": "likewise",
    },
    "runtime/console.py": {"f'/proc/self/fd/{slave}'": "a descriptor of ours, before the change of root: the node's /proc"},
    "runtime/users.py": {},
    "runtime/mount_points.py": {},
    "runtime/copy_up.py": {"source": "a descriptor", "target": "a descriptor"},
    "runtime/devices.py": {
        "f'/dev/{name}'": "the node's devices, before the change of root",
        "'/proc/kcore'": "the node's /proc, likewise",
    },
    "runtime/device_nodes.py": {
        "_find(device, place)": "the node's device",
        "path": "likewise",
        "f'/sys/dev/{kind}/{numbers}/uevent'": "the node's /sys",
    },
    "runtime/mounting.py": {
        "request['source']": "a path of the node's, given by the user",
        "''": "what a descriptor refers to",
        "'/dev/null'": "the node's, before the change of root",
        "f'/proc/self/fd/{target}'": "a descriptor of ours, before the change of root: the node's /proc",
        "f'/proc/self/fd/{mounted}'": "likewise",
        "point": "likewise",
        "_OF_NODE[kind]": "the node's own file system",
        "'cgroup'": "no path: a file system's name",
        "'tmpfs'": "likewise",
        "source": "likewise, of a new file system",
        "None": "no source",
    },
    "storage/merged_tree.py": {
        "tree": "a layer's or an upper's own folder, in the engine's",
        "f'{os.path.dirname(tree)}/{SIDE_FILE}'": "beside it",
        "f'{os.path.dirname(tree)}/{UPPER_NOTES}'": "beside it",
        "f'{os.path.dirname(tree)}/{RECORD}'": "likewise",
        "folder": "a descriptor",
        "descriptor": "a descriptor",
        "path": "by /proc/self/fd of a folder's descriptor, and not followed",
    },
    "storage/node_tar.py": {},
    "storage/upper_changes.py": {"folder": "a descriptor"},
    "containers/accounts.py": {
        "root": "where the container's root is mounted",
        "descriptor": "a descriptor",
        "folder": "the container's own",
        "path": "a file of ours in it",
    },
    "containers/commit.py": {},
    "containers/diff.py": {},
    "containers/root_trees.py": {
        "f'/proc/{pid}/root'": "to sync its file system, and nothing else; in a process outside of it",
        "f'{ContainerStore(locations).folder(document['Id'])}/{FILE}'": "the engine's own",
    },
    "containers/export.py": {
        "f'{store.folder(document['Id'])}/container.json'": "the engine's own",
    },
}


def plain_paths(module: str) -> Iterator[tuple[str, int]]:
    """Yield the path of each call by a plain one, without quotes, and its line."""
    for node in ast.walk(ast.parse((SOURCES / module).read_text())):
        if not isinstance(node, ast.Call) or any(keyword.arg and keyword.arg.endswith("dir_fd") for keyword in node.keywords):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if name in TAKES_A_PATH and (owner in {"os", "os.path", "mounts"} or (name == "open" and not owner)) and node.args:
            for argument in node.args[: 2 if name == "mount" else 1]:
                yield QUOTES.sub("", ast.unparse(argument)), node.lineno


@pytest.mark.parametrize("module", ALLOWED)
def test_every_path_is_relative_to_a_descriptor(module: str) -> None:
    allowed = {QUOTES.sub("", path) for path in ALLOWED[module]}
    outside = [f"{module}:{line}: {path}" for path, line in plain_paths(module) if path not in allowed]
    assert outside == [], "use open_in_root or dir_fd, or say in ALLOWED why this path cannot be the container's"
