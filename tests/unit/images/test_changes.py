from typing import Any

import pytest

from rootless.errors import InvalidInput
from rootless.images.changes import apply_changes


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        (['CMD ["sh", "-c"]'], {"Cmd": ["sh", "-c"]}),
        (["cmd echo a b"], {"Cmd": ["/bin/sh", "-c", "echo a b"]}),
        (['ENTRYPOINT ["a"]', "USER 1:2"], {"Entrypoint": ["a"], "User": "1:2"}),
        (['ENV A=1 B="two words"', "ENV A=3", "ENV C some text"], {"Env": ["A=3", "B=two words", "C=some text"]}),
        (["EXPOSE 80 53/udp"], {"ExposedPorts": {"80/tcp": {}, "53/udp": {}}}),
        (["LABEL a=b c=d"], {"Labels": {"a": "b", "c": "d"}}),
        (['VOLUME ["/a"]', "VOLUME /b /c"], {"Volumes": {"/a": {}, "/b": {}, "/c": {}}}),
        (["WORKDIR /a", "WORKDIR b"], {"WorkingDir": "/a/b"}),
        (["ONBUILD RUN x", "STOPSIGNAL SIGINT"], {"OnBuild": ["RUN x"], "StopSignal": "SIGINT"}),
    ],
)
def test_instructions(changes: list[str], config: dict[str, Any]) -> None:
    found: dict[str, Any] = {}
    apply_changes(found, changes)
    assert found == config


@pytest.mark.parametrize("change", ["RUN x", "", "CMD", "ENV A=1 B", "ENV A='", "FROM x"])
def test_malformed_changes(change: str) -> None:
    with pytest.raises(InvalidInput):
        apply_changes({}, [change])
