"""What `-v`, `--tmpfs` and `--mount` mean, and what is refused with which words."""

from typing import Any

import pytest

from rootless.containers.mount_long_form import parse_mount
from rootless.containers.mount_options import parse_tmpfs, parse_volume
from rootless.containers.mount_request import Overlay, parse_size
from rootless.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("/data", {"kind": "volume", "source": "", "target": "/data", "bind": None}),
        ("name:/data", {"kind": "volume", "source": "name", "target": "/data", "bind": "name:/data", "copies_up": True}),
        ("name:/data:ro,nocopy", {"read_only": True, "copies_up": False, "options": ("rbind", "ro", "rro"), "mode": "ro,nocopy"}),
        ("/src:/dst/", {"kind": "bind", "source": "/src", "target": "/dst", "options": ("rbind",), "makes_source": True}),
        ("./src:/dst", {"source": "/here/src", "bind": "/here/src:/dst"}),
        ("/src:/dst:z,rw", {"options": ("rbind",), "read_only": False}),
        ("/src:/dst:ro,bind", {"options": ("bind", "ro"), "read_only": True}),
        ("/src:/dst:rslave,noexec,nosuid", {"options": ("rbind", "rslave", "noexec", "nosuid")}),
        ("/src:/dst:U", {"changes_owner": True}),
        ("/src:/dst:O", {"overlay": Overlay("", ""), "copies_up": False}),
        ("/src:/dst:O,upperdir=/u,workdir=/w", {"overlay": Overlay("/u", "/w")}),
    ],
)
def test_volumes(text: str, fields: dict[str, Any]) -> None:
    request = parse_volume(text, "/here")
    assert {name: getattr(request, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid volume specification: ''"),
        (":/x", "invalid volume specification: ':/x'"),
        ("a:/b:ro:c", "invalid volume specification"),
        ("data", "invalid mount path: 'data' mount path must be absolute"),
        ("/src:dst", "invalid mount path: 'dst' mount path must be absolute"),
        ("/src:/", "invalid specification: destination can't be '/'"),
        ("/src:/proc/x", "nothing can be mounted inside /proc"),
        ("/src:/dst:nonsense", "invalid mode: nonsense"),
        ("/src:/dst:ro,rw", "ro and rw contradict each other"),
        ("/src:/dst:nocopy", "only volumes take copy and nocopy"),
        ("name:/dst:rshared", "a volume has no propagation"),
        ("/src:/dst:rshared,private", "more than one propagation"),
        ("/src:/dst:idmap", "idmap needs an administrator's mount"),
        ("/src:/dst:O,ro", "O can only be given with U, upperdir and workdir"),
        ("/src:/dst:O,upperdir=/u", "upperdir and workdir must be given together"),
        ("/src:/dst:O,upperdir=u,workdir=/w", "upperdir must be an absolute path"),
        ("/src:/dst:upperdir=/u", "invalid mode: upperdir=/u"),
    ],
)
def test_malformed_volumes(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_volume(text, "/here")
    assert words in caught.value.message
    assert caught.value.message.startswith("invalid volume specification: ")


@pytest.mark.parametrize(
    ("text", "fields", "document"),
    [
        (
            "type=bind,src=/s,dst=/d,readonly,bind-propagation=rslave",
            {"kind": "bind", "options": ("rbind", "rslave", "ro", "rro"), "read_only": True, "makes_source": False},
            {"Type": "bind", "Source": "/s", "Target": "/d", "ReadOnly": True, "BindOptions": {"Propagation": "rslave"}},
        ),
        (
            "type=bind,source=s,destination=/d,bind-recursive=disabled,bind-create-src",
            {"source": "/here/s", "options": ("bind",), "makes_source": True},
            {"Type": "bind", "Source": "/here/s", "Target": "/d", "BindOptions": {"NonRecursive": True, "CreateMountpoint": True}},
        ),
        (
            "type=bind,source=/s,target=/d,ro=1,bind-recursive=writable",
            {"options": ("rbind", "ro")},
            {"Type": "bind", "Source": "/s", "Target": "/d", "ReadOnly": True, "BindOptions": {"ReadOnlyNonRecursive": True}},
        ),
        ("type=bind,source=/s,target=/d,readonly=false", {"read_only": False}, {"Type": "bind", "Source": "/s", "Target": "/d"}),
        ("target=/d", {"kind": "volume", "source": ""}, {"Type": "volume", "Target": "/d"}),
        (
            '"src=v,q",dst=/d,volume-label=a=b,volume-label=c,volume-nocopy=true',
            {"source": "v,q", "labels": (("a", "b"), ("c", "")), "copies_up": False},
            {"Type": "volume", "Source": "v,q", "Target": "/d", "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b", "c": ""}}},
        ),
        (
            "type=volume,src=v,dst=/d,volume-subpath=a/b/,volume-opt=type=tmpfs,volume-opt=device=tmpfs",
            {"subpath": "a/b", "driver_options": (("type", "tmpfs"), ("device", "tmpfs"))},
            {
                "Type": "volume", "Source": "v", "Target": "/d", "VolumeOptions": {
                    "Subpath": "a/b", "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}},
                },
            },
        ),
        (
            "type=tmpfs,dst=/d,tmpfs-size=1m,tmpfs-mode=1770",
            {"options": ("nosuid", "nodev", "noexec", "size=1048576", "mode=1770")},
            {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770}},
        ),
        (
            "type=image,src=alpine,dst=/d,image-subpath=etc",
            {"kind": "image", "read_only": True, "options": ("rbind", "ro", "rro"), "subpath": "etc"},
            {"Type": "image", "Source": "alpine", "Target": "/d", "ReadOnly": True, "ImageOptions": {"Subpath": "etc"}},
        ),
        ("type=image,src=alpine,dst=/d,rw=true,subpath=etc", {"read_only": False, "subpath": "etc"}, None),
        ("type=devpts,dst=/p,gid=0", {"options": ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=0")}, None),
        ("type=bind,src=/s,dst=/d,U=true,relabel=shared,consistency=cached", {"changes_owner": True}, None),
    ],
)  # fmt: skip
def test_mounts(text: str, fields: dict[str, Any], document: dict[str, Any] | None) -> None:
    request = parse_mount(text, "/here")
    assert {name: getattr(request, name) for name in fields} == fields
    assert document is None or request.document == document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type=bind,source=/s", "target is required"),
        ("type=bind,target=/d", "field Source must not be empty"),
        ("type=bind,source=/s,target=d", "invalid mount path: 'd' mount path must be absolute"),
        ("type=bind,source=/s,target=/", "destination can't be '/'"),
        ("type=nonsense,target=/d", 'mount type unknown: "nonsense"'),
        ("type=bind,source=/s,target=/d,nonsense=1", "unexpected key 'nonsense' in 'nonsense=1'"),
        ("type=bind,source=/s,target", "invalid field 'target' must be a key=value pair"),
        ("type=bind,source=/s,target=/d,readonly=maybe", "invalid value for readonly: maybe"),
        ("type=bind,source=/s,target=/d,bind-propagation=odd", "invalid propagation: odd"),
        ("type=bind,source=/s,target=/d,bind-recursive=odd", "invalid value for bind-recursive: odd"),
        ("type=bind,source=/s,target=/d,bind-recursive=readonly", "requires 'readonly'"),
        ("type=bind,source=/s,target=/d,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("type=volume,source=v,target=/d,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
        ("type=tmpfs,target=/d,bind-propagation=private", "cannot mix 'bind-*' options with mount type 'tmpfs'"),
        ("type=tmpfs,target=/d,source=/s", "field Source must not be specified"),
        ("type=tmpfs,target=/d,tmpfs-size=big", "invalid tmpfs-size: 'big'"),
        ("type=tmpfs,target=/d,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ("type=tmpfs,target=/d,U", "cannot mix 'U' options with mount type 'tmpfs'"),
        ("type=volume,source=v,target=/d,volume-subpath=../x", "invalid subpath: '../x'"),
        ("type=volume,source=v,target=/d,volume-driver=nfs", "there is no volume driver 'nfs'"),
        ("type=image,target=/d", "field Source must not be empty"),
        ("type=bind,source=/s,target=/d,idmap", "idmap needs an administrator's mount"),
    ],
)
def test_malformed_mounts(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_mount(text, "/here")
    assert words in caught.value.message
    assert caught.value.message.startswith(f'invalid argument "{text}" for "--mount" flag: ')


def test_tmpfs() -> None:
    request = parse_tmpfs("/run:rw,exec,size=64k,mode=700")
    assert request.options == ("nosuid", "nodev", "noexec", "rw", "exec", "size=64k", "mode=700")
    assert (request.target, request.mode, parse_tmpfs("/run").mode) == ("/run", "rw,exec,size=64k,mode=700", "")
    for text in ("/run:nonsense", "run", "/run:size="):
        with pytest.raises(InvalidInput):
            parse_tmpfs(text)


def test_sizes() -> None:
    sizes = [parse_size(text, "size") for text in ("10", "1b", "2k", "3M", "1g", "1GiB", "1kb")]
    assert sizes == [10, 1, 2048, 3 << 20, 1 << 30, 1 << 30, 1024]
    for text in ("", "m", "-1", "1.5g", "1x", "1mm"):
        with pytest.raises(InvalidInput):
            parse_size(text, "size")
