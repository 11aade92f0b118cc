"""What `rl inspect` shows of an image: Docker's JSON."""

from typing import Any

from rootless.images.reference import familiar_name
from rootless.images.store import Image


def image_document(image: Image) -> dict[str, Any]:
    """Return the JSON object of `docker image inspect`; `Size` is in bytes, unpacked."""
    config = image.config
    return {
        "Id": image.id,
        "RepoTags": [familiar_name(name) for name in image.names],
        "RepoDigests": [familiar_name(name) for name in image.repo_digests],
        "Parent": "",
        "Comment": _last_comment(config),
        "Created": image.created,
        "Author": config.get("author") or "",
        "Config": config.get("config") or {},
        "Architecture": config.get("architecture") or "",
        "Variant": config.get("variant") or "",
        "Os": config.get("os") or "",
        "Size": image.size,
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Annotations": image.manifest.get("annotations") or {},
        "Descriptor": {"mediaType": image.manifest.get("mediaType", ""), "digest": image.manifest_digest},
    }


def _last_comment(config: dict[str, Any]) -> str:
    history = config.get("history")
    last = history[-1] if history and isinstance(history, list) else None
    return str(last.get("comment") or "") if isinstance(last, dict) else ""
