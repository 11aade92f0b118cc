"""The stages of a Dockerfile, and their order."""

import pytest

from rootless.build.plan import Plan, make_plan
from rootless.build.reader import read
from rootless.build.scope import Arguments
from rootless.errors import InvalidInput


def plan(text: str, target: str | None = None, **given: str) -> Plan:
    return make_plan(read(text), Arguments(given, None, ""), target)


def test_only_what_the_target_needs_is_built_in_order() -> None:
    text = "FROM a AS one\nFROM b AS two\nCOPY --from=one x y\nFROM two AS three\nRUN --mount=from=four true\nFROM c AS four\n"
    assert plan(text).order == (3,)
    assert plan(text, "Three").order == (0, 1, 3, 2)
    assert plan(text, "1").order == (0, 1)


def test_a_stage_may_be_named_like_an_image_it_goes_on_from() -> None:
    found = plan("FROM a AS a\nFROM a AS a\nFROM a")
    assert [stage.base_stage for stage in found.stages] == [None, 0, 1]


def test_args_before_from_are_those_of_from() -> None:
    found = plan("ARG A=x\nARG B=$A-y\nFROM $B AS s${A}\nFROM --platform=$BUILDPLATFORM s$A", A="z")
    assert (found.stages[0].base, found.stages[0].name, found.stages[1].base_stage) == ("z-y", "sz", 0)
    assert found.stages[1].platform.startswith("linux/")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("FROM a AS x\nCOPY --from=y a b\nFROM b AS y\nCOPY --from=x a b", "circular dependency detected on stage: y"),
        ("FROM a AS x\nCOPY --from=x a b", "circular dependency detected on stage: x"),
        ("RUN x\nFROM a", "no build stage in current context"),
        ("ARG A", "no build stage in the Dockerfile"),
        ("FROM $NONE", "base name ($NONE) should not be blank"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS 1x", 'invalid name for build stage: "1x"'),
        ("ARG A=${B?missing}\nFROM a", "missing"),
    ],
)
def test_what_cannot_be_planned_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(text)
    assert reason in caught.value.message
    with pytest.raises(InvalidInput, match="could not be found"):
        plan("FROM a", "nonesuch")
