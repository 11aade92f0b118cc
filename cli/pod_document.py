"""What `rl pod inspect` and `rl pod ps` show of a pod: Podman's fields."""

from collections.abc import Sequence
from typing import Any

from rootless.containers import pod_members
from rootless.containers.documents import Document


def pod_document(infra: Document, containers: Sequence[Document]) -> dict[str, Any]:
    """Return the JSON object of `podman pod inspect`."""
    pod = infra["Rl"]["Pod"]
    return {
        "Id": pod["Id"],
        "Name": pod["Name"],
        "Created": infra["Created"],
        "State": pod_members.state(containers),
        "Hostname": infra["Config"]["Hostname"],
        "Labels": pod["Labels"],
        "CreateInfra": True,
        "InfraContainerID": infra["Id"],
        "SharedNamespaces": pod["Share"],
        "NumContainers": len(containers),
        "Containers": [
            {"Id": one["Id"], "Name": one["Name"].lstrip("/"), "State": one["State"]["Status"]} for one in containers
        ],
    }
