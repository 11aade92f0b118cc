"""`RUN --mount` and `--secret`, field by field."""

from pathlib import Path

import pytest

from rootless.build.mount_flags import Mount, parse_mount, source_of_mount
from rootless.build.secrets import read_secrets
from rootless.errors import InvalidInput


def test_fields_and_their_other_names() -> None:
    assert parse_mount("target=/x") == Mount("bind", "/x")
    assert parse_mount("type=bind,dst=/x,src=a,from=b,rw") == Mount("bind", "/x", "a", "b", True)
    text = "type=cache,destination=/c,id=i,sharing=LOCKED,uid=1,gid=2,mode=0700,ro"
    assert parse_mount(text) == Mount("cache", "/c", id="i", sharing="locked", mode=0o700, uid=1, gid=2)
    assert parse_mount("type=secret,id=a,env=B,required=true") == Mount("secret", id="a", variable="B", required=True)
    assert parse_mount('"type=tmpfs","target=/a,b",size=2k') == Mount("tmpfs", "/a,b", size=2048)
    assert parse_mount("type=bind,target=$x,from=$x", lambda word: word.replace("$x", "y")).target == "y"
    assert (source_of_mount("type=cache,from=one,target=/x"), source_of_mount("target=/x")) == ("one", "")


@pytest.mark.parametrize("text", [
    "type=ssh,target", "type=bind,target=/x,rw=perhaps", "type=cache,target=/x,uid=-1", 'type=bind,"target=/x', "type=ssh,size=1",
    "type=tmpfs,target=/x,size=big", "type=cache,target=/x,mode=99999999999999999999",
])  # fmt: skip
def test_malformed_ones_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_mount(text)


def test_secrets_come_from_files_and_variables(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\xff\n")
    entries = [f"id=a,src={file}", "id=b,env=B", "id=c", f"type=file,id=d,source={file}", "type=env,id=e,src=B"]
    found = read_secrets(entries, {"B": "b", "c": "c"})
    assert found == {"a": b"\xff\n", "b": b"b", "c": b"c", "d": b"\xff\n", "e": b"b"}
    for entry in ("id=x,src=/nonesuch", "src=x", "id=x,env=NO", "id=x,type=y", "id=x,what=y", "x"):
        with pytest.raises(InvalidInput):
            read_secrets([entry], {})
    file.write_bytes(bytes(600 << 10))
    with pytest.raises(InvalidInput, match="larger than"):
        read_secrets([f"id=a,src={file}"], {})
