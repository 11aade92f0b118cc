import pytest

from cli.gotemplate import Template
from rootless.errors import InvalidInput

VALUE = {
    "Name": "one",
    "Count": 3,
    "Flag": True,
    "Empty": "",
    "Nil": None,
    "List": ["a", "b", "c"],
    "Map": {"k2": "v2", "k1": {"deep": 1}},
    "Label": lambda name: f"<{name}>",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("{{.Name}}", "one"),
        ("{{ .Name }}-{{.Count}} {{.Flag}} {{.Nil}}", "one-3 true <no value>"),
        ("{{.List}} {{.Map}}", "[a b c] map[k1:map[deep:1] k2:v2]"),
        ("{{.Map.k1.deep}} {{(.Map).k2}} {{$.Name}}", "1 v2 one"),
        ("{{json .List}} {{json .Map}}", '["a","b","c"] {"k2":"v2","k1":{"deep":1}}'),
        ("{{range .List}}[{{.}}]{{end}}", "[a][b][c]"),
        ("{{range $i, $x := .List}}{{$i}}={{$x}};{{end}}", "0=a;1=b;2=c;"),
        ("{{range $k, $v := .Map}}{{$k}} {{end}}", "k1 k2 "),
        ("{{range $x := .List}}{{$x}}{{end}}", "abc"),
        ("{{range .Nil}}x{{else}}none{{end}}", "none"),
        ("{{range .List}}{{if eq . `b`}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
        ("{{range .List}}{{.}}{{break}}{{end}}", "a"),
        ("{{if .Empty}}y{{else if .Flag}}f{{else}}n{{end}}", "f"),
        ("{{with .Map}}{{.k2}} {{$.Name}}{{end}}{{with .Empty}}x{{else}}e{{end}}", "v2 onee"),
        ("a {{- .Name -}}  b {{/* comment */}}c", "aoneb c"),
        ('{{$x := "v"}}{{$x}}{{$x = "w"}}{{$x}}', "vw"),
        ('{{.Name | upper | printf "%s-%s" "p"}}', "p-ONE"),
        ('{{join .List ","}} {{len .List}} {{index .List 1}} {{index .Map "k2"}} {{index .Map "no"}}', "a,b,c 3 b v2 <no value>"),
        ('{{slice "abcdef" 1 3}} {{split "a,b" ","}} {{title "hello"}} {{lower "ABC"}}', "bc [a b] Hello abc"),
        ('{{pad "x" 1 2}}|{{truncate "hello" 2}}', " x  |he"),
        ('{{and 1 ""}}{{or "" "d"}} {{not true}} {{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{ge 2 2}}', "d false true true true true"),
        ('{{print "a" 1 2 "b"}} {{println "a" 1}}', "a1 2b a 1\n"),
        ('{{printf "%q %v %5d|%t" "a" "x" 42 true}}', '"a" x    42|true'),
        ('{{.Label "x"}} {{"}}"}} {{`raw\\n`}}', "<x> }} raw\\n"),
        ("{{range 3}}{{.}}{{end}} {{3.5}}", "012 3.5"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert Template(template).render(VALUE) == expected


@pytest.mark.parametrize(
    "template",
    [
        *("{{", "{{.Name", "{{}}", "{{if}}x{{end}}", "{{if .Name}}", "{{end}}", "{{else}}", "{{range}}{{end}}", "{{(.Name}}"),
        *("{{.Name)}}", '{{"unclosed}}', "{{.Name | }}", "{{define `x`}}{{end}}", "{{#}}", "{{$}}{{$y}}", "{{nofunction}}"),
        *("{{.Nope}}", "{{.Name.Field}}", "{{.Nil.Field}}", "{{.Name 1}}", '{{"a" "b"}}', "{{index .List 9}}", "{{json}}"),
        *("{{range .Name}}{{end}}", "{{lt 1 `a`}}", '{{printf "%d" "x"}}'),
    ],
)
def test_errors_are_the_users(template: str) -> None:
    with pytest.raises(InvalidInput, match="template parsing error"):
        Template(template).render(VALUE)


def test_json_hides_nothing_from_a_terminal() -> None:
    text = Template("{{json .}}").render({"a": "\x1b]0;x\x07\x9b\x7f\u202e", "b": "ü"})
    assert text.isprintable() or text.isascii()
    assert "\x1b" not in text
    assert Template("{{json .}}").render({"b": "ü"}) == '{"b":"ü"}'
