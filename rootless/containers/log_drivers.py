"""Log drivers: where a container's output is kept, chosen by HostConfig.LogConfig."""

from rootless.containers.documents import PASSTHROUGH, Document, log_driver_of
from rootless.containers.log_file import LogFile, encode_cri, json_encoder
from rootless.containers.loop import Loop
from rootless.containers.streams import Log


def open_log(document: Document, folder: str, loop: Loop) -> Log | None:
    """Open the log of a container in `folder` for its monitor; None where nothing is kept. Raises `OSError`, `NodeLacks`."""
    driver, given = log_driver_of(document), document["HostConfig"].get("LogConfig", {}).get("Config") or {}
    if driver in ("none", PASSTHROUGH):
        return None
    if driver == "json-file" and not given:
        return LogFile(document["LogPath"])
    from rootless.containers import log_options  # few containers have any

    most = log_options.buffer_of(given)
    if not most:
        return _open(document, folder, driver, given)
    from rootless.containers.log_buffer import BufferedLog

    return BufferedLog(loop, most, lambda: _open(document, folder, driver, given))


def _open(document: Document, folder: str, driver: str, given: dict[str, str]) -> Log:
    from rootless.containers import log_options

    rotation = log_options.rotation_of(given)
    if driver == "k8s-file":
        return LogFile(document["LogPath"], encode_cri, rotation)
    attributes = attributes_of(document)
    if driver == "json-file":
        return LogFile(document["LogPath"], json_encoder(attributes), rotation)
    from rootless.containers.log_journal import JournalLog

    tag = attributes.pop("tag", "")
    return JournalLog(folder, {**attributes, **_journal_fields(document, tag)})


def attributes_of(document: Document) -> dict[str, str]:
    """Return what the options put into each entry: the tag, labels and variables."""
    from rootless.containers import log_options

    own, given = document["Config"], document["HostConfig"]["LogConfig"]["Config"]
    tag = log_options.tag_of(given, _names(document))
    return {**({"tag": tag} if tag else {}), **log_options.attributes_of(given, own.get("Labels") or {}, own["Env"])}


def _journal_fields(document: Document, tag: str) -> dict[str, str]:
    names = _names(document)
    return {
        "CONTAINER_NAME": names["Name"],
        "CONTAINER_ID": names["ID"],
        "CONTAINER_ID_FULL": names["FullID"],
        "CONTAINER_TAG": tag or names["ID"],
        "IMAGE_NAME": names["ImageName"],
        "SYSLOG_IDENTIFIER": tag or names["Name"],  # conmon's; Docker has the ID there, which nobody recognizes
    }


def _names(document: Document) -> dict[str, str]:
    """Return what a tag's template can name (Docker's "Customize log driver output")."""
    container, image = document["Id"], str(document["Image"]).removeprefix("sha256:")
    return {
        "Name": document["Name"].lstrip("/"),
        "ID": container[:12],
        "FullID": container,
        "ImageName": str(document["Config"]["Image"]),
        "ImageID": image[:12],
        "ImageFullID": image,
        "DaemonName": "rl",
    }
