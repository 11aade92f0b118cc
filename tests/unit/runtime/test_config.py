import json
import os
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import InvalidInput
from rootless.runtime import config
from tests.support import oci_schema

with_schemas = pytest.mark.skipif(not os.path.isdir(oci_schema.FOLDER), reason="../shared is absent")
# What the words of the specification, or the engines that write configs, say otherwise than its schema.
STRICTER = (
    "ociVersion", "args", "env", "env[0]", "oomScoreAdj", "personality", "listenerPath", "ioPriority.priority",
    "timeout", "rrnoRet", "listenerMetadata", "personality.flags", "personality.flags[0]",
)  # fmt: skip
PATHS = ("cwd", "path", "destination", "maskedPaths", "maskedPaths[0]", "readonlyPaths", "readonlyPaths[0]")


def minimal(**changes: Any) -> dict[str, Any]:
    return {"ociVersion": "1.1.0", "root": {"path": "rootfs"}, **changes}


def process(**changes: Any) -> dict[str, Any]:
    return minimal(process={"cwd": "/", "args": ["sh"], **changes})


def linux(**changes: Any) -> dict[str, Any]:
    return minimal(linux=changes)


def seccomp(**changes: Any) -> dict[str, Any]:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **changes})


def refusal(document: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        config.check(document)
    return caught.value.message.removeprefix("config.json: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "must be an object, not an array"),
        ({}, "ociVersion: is missing"),
        (minimal(ociVersion="1"), "ociVersion: must be a version such as 1.1.0, not '1'"),
        (minimal(ociVersion="2.0.0"), "ociVersion: version 2.0.0 is not supported: 1.x is"),
        (minimal(root={}), "root.path: is missing"),
        (minimal(hostname=7), "hostname: must be a string, not a number"),
        (minimal(hostname="h\0"), "hostname: must not hold a NUL character"),
        (minimal(hostname="\udcff"), "hostname: is not text: half of a surrogate pair"),
        (minimal(hostname="h"), "hostname: needs a namespace of type uts in linux.namespaces"),
        (minimal(domainname="d"), "domainname: needs a namespace of type uts in linux.namespaces"),
        (minimal(mounts=[{"type": "proc"}]), "mounts[0].destination: is missing"),
        (minimal(mounts=[{"destination": "/x", "options": "ro"}]), "mounts[0].options: must be an array, not a string"),
        (minimal(annotations={"a": 1}), "annotations[a]: must be a string, not a number"),
        (minimal(hooks={"prestart": [{"path": "sh"}]}), "hooks.prestart[0].path: must be an absolute path, not 'sh'"),
        (
            minimal(hooks={"poststop": [{"path": "/sh", "timeout": 0}]}),
            "hooks.poststop[0].timeout: must be a whole number from 1 to 9223372036854775807, not 0",
        ),
        (minimal(process={"args": ["sh"]}), "process.cwd: is missing"),
        (process(args=[]), "process.args: must hold a command"),
        (process(cwd="tmp"), "process.cwd: must be an absolute path, not 'tmp'"),
        (process(env=["A"]), "process.env[0]: must be NAME=VALUE, not 'A'"),
        (process(terminal="yes"), "process.terminal: must be true or false, not a string"),
        (process(user={"uid": -1}), "process.user.uid: must be a whole number from 0 to 4294967295, not -1"),
        (process(user={"uid": True}), "process.user.uid: must be a number, not a boolean"),
        (process(user={"uid": 1.5}), "process.user.uid: must be a whole number from 0 to 4294967295, not 1.5"),
        (process(terminal=True, consoleSize={"height": 70000, "width": 80}), "process.consoleSize: must be at most 65535 each way"),
        (process(oomScoreAdj=1001), "process.oomScoreAdj: must be a whole number from -1000 to 1000, not 1001"),
        (process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority: must be 0 to 7, not 8"),
        (process(execCPUAffinity={"final": "a"}), "process.execCPUAffinity.final: must be a list of CPUs such as 0-3,7, not 'a'"),
        (
            process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2),
            "process.rlimits[1].type: RLIMIT_CPU is there twice",
        ),
        (linux(namespaces=[{"type": "pid"}] * 2), "linux.namespaces[1].type: pid is there twice"),
        (linux(namespaces=[{"type": "pid", "path": "x"}]), "linux.namespaces[0].path: must be an absolute path, not 'x'"),
        (linux(timeOffsets={"boottime": {"secs": 1}}), "linux.timeOffsets: needs a namespace of type time in linux.namespaces"),
        (
            linux(uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}]),
            "linux.uidMappings: needs a namespace of type user in linux.namespaces",
        ),
        (linux(personality={"domain": "LINUX", "flags": ["X"]}), "linux.personality.flags: no flags are defined"),
        (linux(devices=[{"type": "c", "path": "/dev/x"}]), "linux.devices[0]: a device of type c, u or b needs major and minor"),
        (linux(sysctl={"net.x": 1}), "linux.sysctl[net.x]: must be a string, not a number"),
        (linux(intelRdt={"memBwSchema": "L3:0"}), "linux.intelRdt.memBwSchema: must be one line MB:…, not 'L3:0'"),
        (seccomp(listenerMetadata="m"), "linux.seccomp.listenerMetadata: needs listenerPath"),
        (
            seccomp(defaultErrnoRet=1),
            "linux.seccomp.defaultErrnoRet: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, not with SCMP_ACT_ALLOW",
        ),
        (
            seccomp(syscalls=[{"names": ["getpid"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]),
            "linux.seccomp.syscalls[0].errnoRet: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, not with SCMP_ACT_KILL",
        ),
        (
            seccomp(syscalls=[{"names": ["getpid"], "action": "SCMP_ACT_NOTIFY"}]),
            "linux.seccomp.listenerPath: is missing: there is a rule with SCMP_ACT_NOTIFY",
        ),
        (seccomp(syscalls=[{"names": [], "action": "SCMP_ACT_LOG"}]), "linux.seccomp.syscalls[0].names: must not be empty"),
    ],
)
def test_what_is_refused_and_how(document: object, message: str) -> None:
    assert refusal(document) == message


def test_an_unknown_choice_is_told_the_known_ones() -> None:
    assert refusal(process(rlimits=[{"type": "RLIMIT_X", "soft": 0, "hard": 0}])).startswith(
        "process.rlimits[0].type: must be one of RLIMIT_CPU, "
    )


def test_null_is_absent_and_unknown_properties_are_left_alone() -> None:
    nulls = {"process": None, "mounts": None, "linux": {"seccomp": None, "later": {"x": 1}}, "hooks": {"poststop": None}}
    document = config.check(minimal(**nulls))
    assert document["linux"] == {"later": {"x": 1}, "namespaces": []}
    assert "process" not in document
    assert document["hooks"] == {}


def test_paths_are_those_of_the_bundle(tmp_path: Path) -> None:
    mounts = [
        {"destination": "data", "type": "bind", "source": "x", "options": ["bind"]},
        {"destination": "/proc", "type": "proc", "source": "proc"},
    ]
    (tmp_path / "config.json").write_text(json.dumps(minimal(mounts=mounts)))
    document = config.read(str(tmp_path)).document
    assert document["root"]["path"] == f"{tmp_path}/rootfs"
    made = [(mount["destination"], mount["source"]) for mount in document["mounts"]]
    assert made == [("/data", f"{tmp_path}/x"), ("/proc", "proc")]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"ociVersion": "1.0.0"', b" " * ((16 << 20) + 1)])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"^config\.json: is "):
        config.read(str(tmp_path))


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*/config\.json: No such file") as caught:
        config.read(str(tmp_path))
    assert caught.value.hint


def test_unknown_capabilities_are_warned_of(tmp_path: Path) -> None:
    sets = {"bounding": ["CAP_CHOWN", "CAP_FLY"], "ambient": ["X"]}
    (tmp_path / "config.json").write_text(json.dumps(process(capabilities=sets)))
    assert config.read(str(tmp_path)).warnings == (
        "process.capabilities: 'CAP_FLY' is not a capability of this kernel: ignored",
        "process.capabilities: 'X' is not a capability of this kernel: ignored",
    )


def test_a_process_file(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    path.write_text(json.dumps({"cwd": "/", "args": ["id"], "user": {"uid": 5, "gid": 6}}))
    read, warnings = config.read_process(str(path))
    assert (read["user"], read["env"], warnings) == ({"uid": 5, "gid": 6}, [], ())
    path.write_text(json.dumps({"cwd": "x", "args": ["id"]}))
    with pytest.raises(InvalidInput, match=r"^process\.json: cwd: must be an absolute path"):
        config.read_process(str(path))


# Against the specification's own schema and examples.


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    return oci_schema.load()


@pytest.fixture(scope="module")
def is_valid(schemas: dict[str, Any]) -> Any:
    from jsonschema import Draft4Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    registry: Registry = Registry().with_resources([(name, Resource(schema, DRAFT4)) for name, schema in schemas.items()])
    return Draft4Validator(schemas["config-schema.json"], registry=registry).is_valid


def accepts(document: object) -> bool:
    try:
        config.check(document)
    except InvalidInput:
        return False
    return True


@with_schemas
@pytest.mark.parametrize("verdict", ["good", "bad"])
def test_the_examples(verdict: str) -> None:
    folder = Path(oci_schema.FOLDER, "test/config", verdict)
    for path in folder.iterdir():
        if path.name.startswith(oci_schema.OTHER_PLATFORMS):
            continue
        try:
            document = json.loads(path.read_text())
        except json.JSONDecodeError:
            assert path.name == "invalid-json.json"
            continue
        assert accepts(document) == (verdict == "good"), path.name


def example(schemas: dict[str, Any], schema: dict[str, Any], file: str) -> Any:
    """Return the smallest value that a schema permits."""
    schema, file = oci_schema.resolve(schemas, schema, file)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "string":
        patterns = {"^RLIMIT_[A-Z]+$": "RLIMIT_CPU", "^MB:[^\\n]*$": "MB:0", "^[1-9][0-9]*[KMG]B$": "2MB", "^[cbup]$": "p"}
        return patterns.get(schema.get("pattern", ""), "") if "pattern" in schema else "/a=b"
    if kind == "array":
        return [example(schemas, schema["items"], file)] * schema.get("minItems", 0)
    if kind != "object":
        return {"integer": max(1, schema.get("minimum", 1)), "boolean": True}[kind]
    merged: dict[str, Any] = {}
    for part in [*schema.get("allOf", ()), *schema.get("anyOf", ())]:
        merged.update(example(schemas, part, file))
    merged.update({name: example(schemas, schema["properties"][name], file) for name in schema.get("required", ())})
    return merged


def put(document: Any, place: str, value: Any, fill: Any) -> None:
    """Set a property, making what is above it by `fill(place)`."""
    parts = place.replace("[", ".[").split(".")
    where, path = document, ""
    for index, part in enumerate(parts):
        path = f"{path}{part}" if part.startswith("[") else f"{path}.{part}".lstrip(".")
        last = index == len(parts) - 1
        if part == "[0]":
            where[:] = [value if last else fill(path)]
            where = where[0]
            continue
        name = part.strip("[]")
        if last:
            where[name] = value
        else:
            where = where.setdefault(name, fill(path))


@with_schemas
def test_every_property_of_the_schema_is_checked(schemas: dict[str, Any], is_valid: Any) -> None:
    """Each with the smallest value that the schema permits and with values of other types: the same verdict as the schema's."""
    top = "config-schema.json"
    known = {place: (schema, file) for place, schema, file in oci_schema.properties(schemas, schemas[top], top)}
    assert len(known) > 200
    seen = 0
    for place, (schema, file) in known.items():
        for value in (example(schemas, schema, file), 7, 1.5, -1, "x", True, [], {}, ["x"], 1 << 70):
            document = {"ociVersion": "1.1.0", "linux": {"namespaces": [{"type": "uts"}, {"type": "time"}, {"type": "user"}]}}
            put(document, place, value, lambda above: example(schemas, *known[above]))
            if "process" in document and isinstance(document["process"], dict):
                document["process"] = {"cwd": "/", "args": ["a"], **document["process"]}
            ours, schemas_own = accepts(document), is_valid(document)
            if ours != schemas_own:
                assert place.endswith(STRICTER + PATHS), (place, value, ours, schemas_own)
                assert not ours, (place, value)
            seen += ours
    assert seen > 300
