"""Log drivers: where a container's output is kept, chosen by HostConfig.LogConfig."""

from rootless.containers.documents import Document
from rootless.containers.log_file import LogFile, encode_cri, json_encoder
from rootless.containers.streams import Log


def open_log(document: Document) -> Log | None:
    """Open the log of a container for its monitor; None where nothing is kept. Raises `OSError`."""
    config = document["HostConfig"].get("LogConfig") or {}
    driver, given = config.get("Type") or "json-file", config.get("Config") or {}
    if driver == "none":
        return None
    if driver == "json-file" and not given:
        return LogFile(document["LogPath"])
    from rootless.containers import log_options  # few containers have any

    rotation = log_options.rotation_of(given)
    if driver == "k8s-file":
        return LogFile(document["LogPath"], encode_cri, rotation)
    own, container = document["Config"], document["Id"]
    names = {"Name": document["Name"].lstrip("/"), "ID": container[:12], "FullID": container, "ImageName": str(own["Image"])}
    attributes = log_options.attributes_of(given, own.get("Labels") or {}, own["Env"], names)
    return LogFile(document["LogPath"], json_encoder(attributes), rotation)
