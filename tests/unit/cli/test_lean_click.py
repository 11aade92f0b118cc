"""click as `rl` imports it: complete, and without its heavy imports."""

import inspect
import json
import subprocess
import sys

import pytest

from cli.lean_click import cleandoc

PROBE = """
import json, sys
before = set(sys.modules)
import cli.lean_click, click
loaded = sorted(set(sys.modules) - before)
import uuid, datetime, inspect
@click.command()
@click.option("--id", type=click.UUID)
@click.option("--at", type=click.DateTime())
@click.option("--number", default=lambda: 3)
def command(id, at, number):
    \"\"\"First line.

        Indented.
    \"\"\"
    return [str(id), at.isoformat(), number, type(id) is uuid.UUID, type(at) is datetime.datetime]
words = ["--id", "12345678-1234-5678-1234-567812345678", "--at", "2020-01-02"]
print(json.dumps([loaded, command.main(words, standalone_mode=False), inspect.signature(print) is not None]))
"""


def test_heavy_modules_stay_out_and_everything_works() -> None:
    output = subprocess.run([sys.executable, "-I", "-c", PROBE], check=True, capture_output=True, text=True).stdout
    loaded, result, real_inspect = json.loads(output)
    assert {"inspect", "ast", "dis", "uuid", "platform", "datetime"}.isdisjoint(loaded)
    assert result == ["12345678-1234-5678-1234-567812345678", "2020-01-02T00:00:00", "3", True, True]
    assert real_inspect


@pytest.mark.parametrize("text", ["", "one", "one\n  two\n    three\n", "\n  lead\n\n    deep\n  back\n\n", "a\tb\n\tc"])
def test_cleandoc_is_inspect_s(text: str) -> None:
    assert cleandoc(text) == inspect.cleandoc(text)
