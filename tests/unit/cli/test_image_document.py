"""Docker's JSON of images whose configs are not what they should be."""

from typing import Any

import pytest

from cli.image_document import image_document
from rootless.images.store import Image


@pytest.mark.parametrize("history", [None, [], {"a": 1}, "text", 5, [None], [{"comment": None}]])
def test_a_history_of_the_wrong_type_is_no_comment(history: Any) -> None:
    image = Image("sha256:x", (), (), "sha256:y", {}, {"history": history}, (), (), 0, "")
    assert image_document(image)["Comment"] == ""


def test_the_last_step_has_the_comment() -> None:
    image = Image("sha256:x", (), (), "sha256:y", {}, {"history": [{"comment": "a"}, {"comment": "b"}]}, (), (), 0, "")
    assert image_document(image)["Comment"] == "b"


def test_annotations_of_the_manifest_are_shown() -> None:
    image = Image("sha256:x", (), (), "sha256:y", {"annotations": {"a": "b"}}, {}, (), (), 0, "")
    assert image_document(image)["Annotations"] == {"a": "b"}


def test_names_are_shown_as_docker_shows_them() -> None:
    names, digests = ("docker.io/library/app:1", "docker.io/me/app:1", "example.org/app:1"), ("docker.io/library/app@sha256:z",)
    document = image_document(Image("sha256:x", names, digests, "sha256:y", {}, {}, (), (), 0, ""))
    assert document["RepoTags"] == ["app:1", "me/app:1", "example.org/app:1"]
    assert document["RepoDigests"] == ["app@sha256:z"]
