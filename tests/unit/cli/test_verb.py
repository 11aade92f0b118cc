"""Go's flags with values, and which errors a verb reports itself."""

import click
import pytest

from cli.verb import Verb
from rootless.errors import InvalidInput, NoSuchObject


@click.command(cls=Verb)
@click.option("-H", "--human/--no-human", default=True)
@click.option("--plain", is_flag=True)
@click.option("--text")
@click.argument("words", nargs=-1)
def example(human: bool, plain: bool, text: str | None, words: tuple[str, ...]) -> tuple[object, ...]:
    if "missing" in words:
        raise NoSuchObject("No such image: missing")
    if "malformed" in words:
        raise InvalidInput("malformed")
    return human, plain, text, words


@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("", (True, False, None, ())),
        ("--human=false --plain=true x", (False, True, None, ("x",))),
        ("-H=0 --plain=False", (False, False, None, ())),
        ("--no-human=true", (False, False, None, ())),
        ("--no-human=false", (True, False, None, ())),
        ("--text=false -H", (True, False, "false", ())),
        ("-- --human=false", (True, False, None, ("--human=false",))),
    ],
)
def test_on_and_off(line: str, result: tuple[object, ...]) -> None:
    assert example.main(line.split(), standalone_mode=False) == result


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main(["missing"], standalone_mode=False) == 1
    assert capsys.readouterr().err == "rl: No such image: missing\n"
    assert example.main(["malformed"], standalone_mode=False) == 1
    with pytest.raises(click.UsageError):
        example.main(["--nope"], standalone_mode=False)


@click.command(cls=Verb, context_settings={"allow_interspersed_args": False})
@click.option("--rm", is_flag=True)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def runs(rm: bool, words: tuple[str, ...]) -> tuple[object, ...]:
    return rm, words


def test_what_follows_the_image_is_left_alone() -> None:
    assert runs.main(["--rm=true", "image", "--rm=false"], standalone_mode=False) == (True, ("image", "--rm=false"))
