"""Reading the files of a container that another command removes."""

from pathlib import Path
from typing import Any

import pytest

from rootless.containers.root_trees import removal_told
from rootless.errors import NoSuchObject
from rootless.locations import Locations


def test_a_container_that_is_removed_while_it_is_read_is_said_to_be_gone(tmp_path: Path) -> None:
    locations, document = Locations(str(tmp_path), str(tmp_path)), {"Id": "1" * 64}
    with pytest.raises(NoSuchObject, match="No such container: box"):
        _fail(locations, document)
    folder = tmp_path / "containers" / document["Id"]
    folder.mkdir(parents=True)
    (folder / "container.json").touch()
    with pytest.raises(FileNotFoundError):  # something else is missing
        _fail(locations, document)


def _fail(locations: Locations, document: Any) -> None:
    with removal_told(locations, document, "box"):
        raise FileNotFoundError
