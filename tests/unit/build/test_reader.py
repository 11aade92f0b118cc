"""Reading Dockerfiles."""

import pytest

from rootless.build.reader import read, read_trigger
from rootless.errors import InvalidInput


def test_lines_continue_and_comments_go() -> None:
    found = read("# escape=`\nFROM a`\n# no\n  AS b\n\nrun --mount=type=x --mount=type=y --network=none echo \\\n").instructions
    assert [(one.name, one.flags, one.text, one.location.first_line) for one in found] == [
        ("FROM", {}, "a  AS b", 2),
        ("RUN", {"mount": ("type=x", "type=y"), "network": ("none",)}, "echo \\", 6),
    ]
    assert found[1].shown == "RUN --mount=type=x --mount=type=y --network=none echo \\"
    assert found[1].expand("`$A\\", {"A": "1"}) == "$A\\"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ("NONSENSE x", "unknown instruction: NONSENSE"),
        ("COPY --form=x a b", "unknown flag: --form (did you mean from?)"),
        ("COPY --link=maybe a b", "expecting boolean value for flag link, not: maybe"),
        ("COPY --chown a b", "missing a value on flag: chown"),
        ("COPY --chown=1 --chown=2 a b", "duplicate flag specified: chown"),
        ("ENV --x a=b", "unknown flag: --x"),
        ("COPY one", "COPY requires at least two arguments, but only one was provided. Destination could not be determined"),
        ("RUN", "RUN requires at least one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("ENV =x", "ENV names can not be blank"),
        ("ARG =x", "ARG names can not be blank"),
        ("SHELL sh", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
    ],
)
def test_what_is_wrong_in_a_line_is_said_in_buildkit_s_words(line: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(f"FROM a\n{line}\n", "Containerfile")
    assert caught.value.message.startswith(f"dockerfile parse error on line 2: {reason}\nContainerfile:2\n")
    assert f"   2 | >>> {line}\n" in caught.value.message


def test_an_empty_file_is_refused() -> None:
    for text in ("", "# only\n"):
        with pytest.raises(InvalidInput):
            read(text)


def test_a_trigger_is_one_instruction() -> None:
    assert read_trigger("RUN true", "base").name == "RUN"
    for text in ("FROM x", "RUN a\nRUN b", ""):
        with pytest.raises(InvalidInput):
            read_trigger(text, "base")
