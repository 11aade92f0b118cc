"""`--format` of lists and objects: a Go template, `json`, or a table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cli.tables import emit, for_output, table


def show_rows(form: str | None, columns: Sequence[str], headers: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows as `form` says: None or `table` for `columns`, `table TEMPLATE`, `json` or a template for each row.

    `headers` are the column titles by field. Raises `InvalidInput` for a malformed template.
    """
    if not form or form == "table":
        emit(table([[headers[name] for name in columns], *([str(row[name]) for name in columns] for row in rows)]))
        return
    from cli.gotemplate import Template  # with --format only

    text = form.replace("\\t", "\t").replace("\\n", "\n")
    if text == "json":
        text = "{{json .}}"
    if not text.startswith("table "):
        template = Template(text)
        for row in rows:
            emit(for_output(template.render(row)))
        return
    template = Template(text.removeprefix("table "))
    lines = [template.render(headers), *(template.render(row) for row in rows)]
    emit(table([line.split("\t") for line in lines]))


def show_object(form: str, value: Any) -> None:
    """Print one object by a template, or `json`. Raises `InvalidInput`."""
    from cli.gotemplate import Template  # with --format only

    emit(for_output(Template("{{json .}}" if form == "json" else form).render(value)))


def pretty_json(value: Any) -> str:
    """Return JSON with Docker's indent; unprintable characters are escaped, so that a terminal may show it."""
    import json

    text = json.dumps(value, indent=4, ensure_ascii=False)
    if text.replace("\n", "").isprintable():
        return text
    return json.dumps(value, indent=4).replace("\x7f", "\\u007f")  # all but ASCII escaped; JSON itself lets DEL pass
