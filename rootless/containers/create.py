"""Making a container's folder and document from an image and the user's options (what `docker create` does)."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rootless import events
from rootless.containers import clock, documents, names, namespace_modes
from rootless.containers.documents import Document, Own
from rootless.containers.host_names import check_hostname
from rootless.containers.lock import ContainerLock
from rootless.containers.options import CreateOptions
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, InvalidInput, NoSuchObject, RlError
from rootless.images.config import ContainerDefaults, container_defaults
from rootless.images.layout import Layout
from rootless.images.store import Image, layer_folders
from rootless.locations import Locations
from rootless.namespaces.idmap import is_auto, keeps_id
from rootless.networks import modes
from rootless.runtime.search_path import DEFAULT_PATH
from rootless.storage import drivers, trash
from rootless.storage.root_filesystem import RootFilesystem, make_folders, of_container


def create(
    locations: Locations,
    environ: Mapping[str, str],
    image: Image,
    image_name: str,
    options: CreateOptions,
    *,
    started_at_once: bool = True,
) -> tuple[Document, ContainerLock]:
    """Make a container and return its document and its lock, taken. Raises `RlError` or `OSError`; nothing is left then.

    `started_at_once`: the caller goes on to start it; with --rm it goes also when it never comes to that.
    """
    if options.replace:
        _remove_named(locations, options)
    network = modes.with_mac(modes.resolved(modes.parse(options.network)), dict(options.config).get("MacAddress"))
    namespace_modes.check_conflicts(options)
    layers = tuple(layer_folders(locations, image))
    container_id = names.new_id()
    store = ContainerStore(locations)
    options = namespace_modes.with_full_ids(store, options)
    joined_maps = namespace_modes.joined_maps(store, options)
    options, driver = _with_maps(locations, environ, options, has_others=joined_maps is not None)
    hostname = namespace_modes.hostname_of(store, options, container_id)
    folder = store.folder(container_id)
    config = _config(hostname, image, image_name, options)
    document = _document(folder, locations.runtime_dir, image=image, config=config, options=options, driver=driver)
    document["NetworkSettings"] = modes.settings(network)
    document["Rl"]["ByRun"] = started_at_once
    if options.ends_with_us:
        from rootless.containers import maker  # steps of builds only

        document["Rl"]["EndsWith"] = maker.of_ours()
    if options.pod is not None:
        document["Rl"]["Pod"] = options.pod
    if joined_maps is not None:
        document["Rl"]["JoinedMaps"] = joined_maps
    root = of_container(locations, container_id, layers)
    # Under the store's lock, so that a removal of the image sees its user, or has been, and we see that.
    with _id_file(options.cid_file, container_id), Layout(locations).locked(), contextlib.ExitStack() as stack:
        if not all(os.path.exists(layer) for layer in layers):
            raise NoSuchObject(f"No such image: {image_name}", "it was removed just now by another command")
        if is_auto(options.namespaces.user):
            from rootless.containers.auto_maps import choose_maps  # few containers have such maps

            choose_maps(store, document, root)
        if options.mounts or options.volumes_from or config["Volumes"]:
            from rootless.containers.mounts_of_container import mounts_added  # 3 ms that a plain run need not pay

            stack.enter_context(mounts_added(locations, document, options))
        if namespace_modes.has_own_maps(namespace_modes.maps_of(document)):
            from rootless.containers.unmapped_user import check_possible  # as above

            check_possible(document)
        lock = _write(store, document, root, options)
    events.emit_container(locations, document, "create")
    return document, lock


def _with_maps(
    locations: Locations, environ: Mapping[str, str], options: CreateOptions, *, has_others: bool
) -> tuple[CreateOptions, str]:
    """Return the options and the storage driver; other ID maps than the default one, also joined ones, need that in user space."""
    own = {"UsernsMode": options.namespaces.user, **dict(options.host_config)}
    if not (has_others or namespace_modes.has_own_maps(own)):
        return options, drivers.choose(locations, environ)
    wanted = environ.get("RL_STORAGE_DRIVER") or "fuse"
    if wanted != "fuse":
        raise InvalidInput(f"other ID maps need the storage driver fuse, and {wanted} is asked for", "leave out --storage-driver")
    if keeps_id(options.namespaces.user) and options.user is None:  # as Podman: it is the caller who runs inside
        from rootless.namespaces.custom_maps import parse_keep_id

        asked = parse_keep_id(options.namespaces.user)
        options = options._replace(user=f"{asked.get('uid', os.getuid())}:{asked.get('gid', os.getgid())}")
    return options, wanted


def _remove_named(locations: Locations, options: CreateOptions) -> None:
    """Remove the container whose name the new one gets, running or not, as podman's --replace."""
    from rootless.containers import lifecycle  # for this only

    if options.name is None:
        raise InvalidInput("cannot replace container without --name being set", "give --name, too")
    with contextlib.suppress(NoSuchObject):
        lifecycle.remove(locations, options.name, force=True)


@contextlib.contextmanager
def _id_file(path: str, container_id: str) -> Iterator[None]:
    """Write the file of `--cidfile`, which must not exist; it goes again when the container cannot be made."""
    if not path:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        hint = f"make sure that the other container is not running, or delete {path}"
        raise InUse(f"container ID file found: {path}", hint) from None
    try:
        os.write(descriptor, container_id.encode())
        yield
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def _write(store: ContainerStore, document: Document, root: RootFilesystem, options: CreateOptions) -> ContainerLock:
    """Make the container's folder with its record, and its name; returns its lock, taken. Nothing is left of one that fails."""
    locations, container_id = store.locations, document["Id"]
    folder = store.folder(container_id)
    os.makedirs(locations.containers, 0o700, exist_ok=True)
    os.mkdir(folder, 0o700)
    lock = ContainerLock(folder)
    try:
        lock.acquire()
        store.names.claim(document["Name"].lstrip("/"), container_id)
        make_folders(root)
        if options.secrets:
            from rootless.containers.secrets_of_container import add_secrets  # only where there are any

            add_secrets(locations, folder, document, options.secrets)
        documents.write(folder, document)
    except (RlError, OSError):
        store.names.release(document["Name"].lstrip("/"), container_id)
        lock.release()
        trashed = trash.throw_away(locations, folder, container_id)
        if trashed is not None:
            trash.delete(locations, trashed)
        raise
    return lock


def _document(
    folder: str, runtime_dir: str, *, image: Image, config: dict[str, Any], options: CreateOptions, driver: str
) -> Document:
    container_id = os.path.basename(folder)
    command = [*(config["Entrypoint"] or ()), *(config["Cmd"] or ())]
    if not command:
        raise InvalidInput(f"no command specified, and {config['Image']} has none", "give a command after the image")
    return Document(
        Id=container_id,
        Created=clock.now(),
        Path=command[0],
        Args=command[1:],
        State=documents.new_state(),
        Image=image.id,
        ResolvConfPath=f"{folder}/resolv.conf" if options.makes_resolv_conf else "",
        HostnamePath=f"{folder}/hostname",
        HostsPath=f"{folder}/hosts" if options.makes_hosts else "",
        LogPath=_log_path(folder, options),
        Name=f"/{options.name or names.made_up_name(container_id)}",
        RestartCount=0,
        Driver=driver,
        Platform="linux",
        HostConfig=_host_config(options),
        GraphDriver=_graph_driver(folder, driver),
        Mounts=[],
        Config=config,
        NetworkSettings={},
        Rl=Own(
            Node="",
            BootId="",
            RuntimeDir=runtime_dir,
            Monitor=None,
            Init=None,
            Entry=None,
            LayerKeys=list(image.layer_keys),
            User=config["User"],
            Mounts=[],
            MountNamespace=None,
            InitPath=options.init_path,
            StoppedByUser=False,
            PidFile=os.path.abspath(options.pid_file) if options.pid_file else "",
            ByRun=True,
            Given=options.given,
        ),
    )


def _config(hostname: str, image: Image, image_name: str, options: CreateOptions) -> dict[str, Any]:
    """Return Docker's Config: the image's, with the user's options over it."""
    of_image = container_defaults(image.config)
    entrypoint, command = of_image.entrypoint, of_image.cmd
    if options.entrypoint is not None:  # an empty one clears the image's; either way its command goes, too
        entrypoint, command = [options.entrypoint] if options.entrypoint else None, None
    if options.arguments:
        command = list(options.arguments)
    if options.hostname:
        check_hostname(options.hostname)
    return {
        "Hostname": hostname,
        "Domainname": "",
        "User": options.user if options.user is not None else of_image.user,
        "AttachStdin": options.attach and options.attaches("stdin"),
        "AttachStdout": options.attach and options.attaches("stdout"),
        "AttachStderr": options.attach and options.attaches("stderr"),
        "ExposedPorts": {**(of_image.exposed_ports or {}), **{port: {} for port in options.exposed_ports}} or None,
        "Tty": options.terminal,
        "OpenStdin": options.interactive,
        "StdinOnce": options.attach and options.interactive and options.attaches("stdin"),
        "Env": _environment(of_image.env, options),
        "Cmd": command,
        "Image": image_name,
        "Volumes": of_image.volumes,
        "WorkingDir": options.workdir or of_image.working_dir,
        "Entrypoint": entrypoint,
        "Labels": {**of_image.labels, **dict(options.labels)},
        "StopSignal": options.stop_signal or of_image.stop_signal,
        **_optional_config(of_image, options),
    }


def _log_path(folder: str, options: CreateOptions) -> str:
    if options.log_driver in (None, "json-file"):
        default = f"{folder}/{os.path.basename(folder)}-json.log"
    else:
        default = f"{folder}/ctr.log" if options.log_driver == "k8s-file" else ""
    chosen = dict(options.log_options).get("path")
    return os.path.abspath(chosen) if chosen else default


def _optional_config(of_image: ContainerDefaults, options: CreateOptions) -> dict[str, Any]:
    """Return what Docker leaves out of Config where it does not apply."""
    found: dict[str, Any] = dict(options.config)
    if options.stop_timeout is not None:
        found["StopTimeout"] = options.stop_timeout
    if of_image.healthcheck or options.health is not None:
        from rootless.containers import health_options  # few images and containers have a check

        check = health_options.merged(of_image.healthcheck, options.health or health_options.HealthOptions())
        if check:
            found["Healthcheck"] = check
            found["HealthcheckOnFailureAction"] = options.health_on_failure
    if options.health_on_failure != "none" and "Healthcheck" not in found:
        raise InvalidInput("cannot set on-failure action without a health check", "give --health-cmd, too")
    return found


def _environment(of_image: Sequence[str], options: CreateOptions) -> list[str]:
    """Return the environment, each name once: Docker's own, the image's, the user's; the last wins."""
    merged: dict[str, str] = {}
    for entry in (DEFAULT_PATH, *options.host_environment, *(("TERM=xterm",) if options.terminal else ()), *of_image):
        merged[entry.partition("=")[0]] = entry
    if options.unset_all:
        merged.clear()
    for name in options.unset:
        merged.pop(name, None)
    if options.merged_environment:
        from rootless.containers.environment import merge  # rarely asked for

        merged.update(merge(options.merged_environment, merged))
    for entry in options.environment:
        merged[entry.partition("=")[0]] = entry
    return list(merged.values())


def _host_config(options: CreateOptions) -> dict[str, Any]:
    return {
        "Binds": None,
        "LogConfig": {"Type": options.log_driver or "json-file", "Config": dict(options.log_options)},
        "ContainerIDFile": options.cid_file,
        "Annotations": dict(options.annotations),
        "NetworkMode": options.network,
        "PidMode": options.namespaces.pid,
        "IpcMode": options.namespaces.ipc,
        "UTSMode": options.namespaces.uts,
        "UsernsMode": options.namespaces.user,
        "CgroupnsMode": options.namespaces.cgroup,
        "GroupAdd": list(options.namespaces.groups) or None,
        "PortBindings": {},
        "PublishAllPorts": False,
        "RestartPolicy": options.restart_policy or {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": options.remove,
        "Privileged": False,
        "ReadonlyRootfs": options.read_only,
        "CapAdd": None,
        "CapDrop": None,
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "OomScoreAdj": 0,
        "SecurityOpt": None,
        "Devices": [],
        "Ulimits": None,
        "Init": options.init,
        "Runtime": options.runtime,
        "ShmSize": options.shm_size,
        "VolumesFrom": None,
        **dict(options.host_config),
    }


def _graph_driver(folder: str, driver: str) -> dict[str, Any]:
    return {"Name": driver, "Data": {"UpperDir": f"{folder}/upper", "WorkDir": f"{folder}/work", "MergedDir": f"{folder}/rootfs"}}
