"""Logging in: `rl login` and what it keeps, TLS with a private authority, client certificates, tokens, helpers, proxies."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rootless.images.pull import pull
from rootless.images.store import ImageStore
from tests.integration.images.conftest import Place
from tests.support.certificates import Authority
from tests.support.registries import Registry, build_image
from tests.support.registries import login as login_text
from tests.support.scripted_registry import ScriptedRegistry
from tests.support.tars import file, folder, make
from tests.support.terminal import Terminal
from tests.support.test_user import drop_privileges
from tests.support.token_server import TokenServer

pytestmark = pytest.mark.engine

# bcrypt of "secret"
HTPASSWD = "user:$2b$04$NRbuSzdHJBvgT7RZs/LJzO7hdjOrOliasjVqmduJmf5J17MnyvSoq\n"
LAYER = gzip.compress(make([folder("./"), file("a", b"a")]))

HELPER = """#!/bin/sh
# A key ring in a file: one server.
read -r line
case "$1" in
    store) printf '%s' "$line" > "$HOME/ring" ;;
    erase) rm "$HOME/ring" ;;
    get)
        if [ -e "$HOME/ring" ]; then cat "$HOME/ring"; else echo "credentials not found in native keychain"; exit 1; fi ;;
esac
"""


@pytest.fixture
def guarded(place: Place) -> Iterator[Registry]:
    """A registry with a password behind TLS of a private authority, by a name for which certificates are checked."""
    authority = Authority("127.1")
    place.write("htpasswd", HTPASSWD)
    place.write("server.crt", authority.server_certificate)
    place.write("server.key", authority.server_key)
    tls = {"certificate": str(place.folder / "server.crt"), "key": str(place.folder / "server.key")}
    with Registry(auth={"htpasswd": {"realm": "r", "path": str(place.folder / "htpasswd")}}, http={"tls": tls}) as registry:
        registry.host = f"127.1:{registry.port}"
        place.write(f"home/.config/containers/certs.d/{registry.host}/ca.crt", authority.certificate)
        yield registry


@pytest.fixture
def image(place: Place, registry: Registry) -> str:
    """The name of an image in the store."""
    registry.push("auth:1", [LAYER])
    name = f"{registry.host}/auth:1"
    place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc))
    return name


def fails(place: Place, *arguments: str, data: bytes = b"") -> str:
    done = place.rl(*arguments, data=data)
    text = done.stderr.decode()
    assert (done.returncode, "Traceback" in text) == (1, False), text
    assert "secret" not in text + done.stdout.decode()
    return text


def works(place: Place, *arguments: str, data: bytes = b"") -> str:
    done = place.rl(*arguments, data=data)
    assert done.returncode == 0, done.stderr
    assert b"secret" not in done.stderr + done.stdout
    return done.stdout.decode()


def test_log_in_push_pull_log_out(place: Place, guarded: Registry, image: str) -> None:
    name = f"{guarded.host}/private:1"
    assert f"hint: the repository does not exist, or needs a log-in: rl login {guarded.host}" in fails(place, "push", image, name)
    assert "cannot log in" in fails(place, "login", "-u", "user", "--password-stdin", guarded.host, data=b"not it")
    assert "not logged into" in fails(place, "login", "--get-login", guarded.host)
    done = place.rl("login", "-u", "user", "--password-stdin", guarded.host, data=b"secret\n")
    kept = place.folder / "home/.config/containers/auth.json"
    assert done.stdout == b"Login Succeeded\n", done.stderr
    assert done.stderr.decode() == f"WARNING! Your password is stored unencrypted in {kept}.\n"
    assert (kept.stat().st_mode & 0o777, sorted(path.name for path in kept.parent.glob("auth*new"))) == (0o600, [])
    assert works(place, "login", "--get-login", guarded.host) == "user\n"
    works(place, "push", "-q", image, name)
    works(place, "pull", "-q", name)
    loopback = f"127.0.0.1:{guarded.port}"  # Go's programs do not know the short form
    works(place, "login", "-u", "user", "--password-stdin", loopback, data=b"secret")
    inspect = ["skopeo", "inspect", f"--authfile={kept}", "--tls-verify=false", f"docker://{loopback}/private:1"]
    done = subprocess.run(inspect, capture_output=True, check=False, env=place.environ, cwd="/", timeout=60, **drop_privileges())
    assert done.returncode == 0, done.stderr
    assert works(place, "search", f"{guarded.host}/priv").splitlines()[1].split() == [f"{guarded.host}/private", "0"]
    assert works(place, "login", guarded.host) == "Login Succeeded\n"  # with what is kept
    assert works(place, "logout", guarded.host) == f"Removing login credentials for {guarded.host}\n"
    assert list(json.loads(kept.read_text())["auths"]) == [loopback]
    assert "access denied" in fails(place, "pull", name)
    assert works(place, "logout", guarded.host) == f"Not logged in to {guarded.host}\n"


def test_a_wrong_certificate_gets_no_password(place: Place, guarded: Registry) -> None:
    login = ("login", "-u", "user", "--password-stdin")
    os.unlink(place.folder / f"home/.config/containers/certs.d/{guarded.host}/ca.crt")
    text = fails(place, *login, guarded.host, data=b"secret")
    assert "certificate verify failed" in text
    assert f"certs.d/{guarded.host}/ca.crt" in text
    assert works(place, *login, "--tls-verify=false", guarded.host, data=b"secret") == "Login Succeeded\n"


def test_a_log_in_for_one_command(place: Place, guarded: Registry, image: str) -> None:
    name, creds = f"{guarded.host}/private:1", ("--creds", "user:secret")
    assert "access denied" in fails(place, "push", "--creds", "user:not it", image, name)
    works(place, "push", "-q", *creds, image, name)
    works(place, "pull", "-q", *creds, name)
    works(place, "manifest", "create", *creds, "list", f"docker://{name}")
    works(place, "manifest", "push", *creds, "list", f"{guarded.host}/list:1")
    assert '"manifests"' in works(place, "manifest", "inspect", *creds, f"{guarded.host}/list:1")
    assert "access denied" in fails(place, "pull", name)  # nothing was kept
    assert "needs a user name and a password" in fails(place, "pull", "--creds", "user", name)
    place.write("home/log-ins", login_text(guarded.host, "user", "secret"))
    works(place, "pull", "-q", "--authfile", str(place.folder / "home/log-ins"), name)
    assert "no such file with log-ins" in fails(place, "pull", "--authfile", "/nowhere", name)


def test_a_log_in_for_one_command_is_not_for_mirrors_and_search_registries(place: Place, guarded: Registry, image: str) -> None:
    name, creds = f"{guarded.host}/private:1", ("--creds", "user:secret")
    works(place, "push", "-q", *creds, image, name)
    with ScriptedRegistry() as mirror:
        mirror.replies["/v2/private/manifests/1"] = lambda request: request.answer(401, www_authenticate='Basic realm="r"')
        place.write(
            "home/.config/containers/registries.conf",
            f'unqualified-search-registries = ["{guarded.host}", "{mirror.host}"]\n'
            f'[[registry]]\nlocation = "{guarded.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n',
        )
        works(place, "pull", "-q", *creds, name)
        assert mirror.asked("manifests")
        assert not any("authorization" in headers for headers in mirror.asked("/"))
        assert "none gets the password" in fails(place, "pull", *creds, "private:1")


def test_tls_for_one_command(place: Place, guarded: Registry, registry: Registry, image: str) -> None:
    name, creds = f"{guarded.host}/private:1", ("--creds", "user:secret")
    os.unlink(place.folder / f"home/.config/containers/certs.d/{guarded.host}/ca.crt")
    assert "certificate verify failed" in fails(place, "push", *creds, image, name)
    works(place, "push", "-q", "--tls-verify=false", *creds, image, name)
    works(place, "pull", "-q", image)  # by plain HTTP, as it is on loopback
    assert "cannot reach the registry" in fails(place, "pull", "-q", "--tls-verify", image)


def test_client_certificates(place: Place, image: str) -> None:
    authority = Authority("127.1")
    for name, text in (("s.crt", authority.server_certificate), ("s.key", authority.server_key), ("ca", authority.certificate)):
        place.write(name, text)
    tls = {"certificate": str(place.folder / "s.crt"), "key": str(place.folder / "s.key"), "clientcas": [str(place.folder / "ca")]}
    with Registry(http={"tls": tls}) as registry:
        name = f"127.1:{registry.port}/mine:1"
        certificates = f"home/.docker/certs.d/127.1:{registry.port}"
        place.write(f"{certificates}/ca.crt", authority.certificate)
        assert "wants a client certificate" in fails(place, "push", image, name)
        place.write(f"{certificates}/client.cert", authority.server_certificate)
        assert "needs its NAME.key" in fails(place, "push", image, name)
        place.write(f"{certificates}/client.key", authority.server_key)
        works(place, "push", "-q", image, name)


def test_tokens(place: Place, image: str) -> None:
    with ScriptedRegistry() as server:
        tokens = TokenServer(server, "user", "secret")
        place.write("tokens.crt", tokens.certificate)
        with Registry(auth=tokens.settings(str(place.folder / "tokens.crt"))) as registry:
            name = f"{registry.host}/team/app:1"
            login = ("login", "-u", "user", "--password-stdin", registry.host)
            assert "refuses to log in: 401" in fails(place, *login, data=b"not it")
            assert works(place, *login, data=b"secret") == "Login Succeeded\n"
            assert tokens.scopes == [[]]
            place.run(ImageStore(place.locations).tag, image, name)
            works(place, "push", "-q", name)
            assert tokens.scopes[1:] == [["repository:team/app:pull,push"]]
            works(place, "push", "-q", name, f"{registry.host}/team/other:1")
            assert tokens.scopes[2:] == [["repository:team/other:pull,push", "repository:team/app:pull"]]
            works(place, "pull", "-q", f"{registry.host}/team/other:1")
            assert tokens.scopes[3:] == [["repository:team/other:pull"]]
            assert "team/app" in works(place, "search", f"{registry.host}/app")
            assert tokens.scopes[4:] == [["registry:catalog:*"]]


@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
def test_a_credential_helper_keeps_the_password(place: Place, guarded: Registry, setting: str) -> None:
    place.write("bin/docker-credential-ring", HELPER)
    (place.folder / "bin/docker-credential-ring").chmod(0o755)
    config = {"credsStore": "ring"} if setting == "credsStore" else {"credHelpers": {guarded.host: "ring"}}
    place.write("docker/config.json", json.dumps({**config, "detachKeys": "ctrl-a"}))
    place.environ["DOCKER_CONFIG"] = str(place.folder / "docker")
    login = ("login", "-u", "user", "--password-stdin", guarded.host)
    assert "cannot run the credential helper docker-credential-ring" in fails(place, *login, data=b"secret")
    place.environ["PATH"] = f"{place.folder}/bin:{place.environ['PATH']}"
    assert works(place, *login, data=b"secret") == "Login Succeeded\n"
    kept = json.loads((place.folder / "docker/config.json").read_text())
    assert kept == {**config, "detachKeys": "ctrl-a", "auths": {guarded.host: {}}}
    assert json.loads((place.folder / "home/ring").read_text())["Secret"] == "secret"
    assert works(place, "login", "--get-login", guarded.host) == "user\n"
    assert works(place, "search", f"{guarded.host}/").split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    works(place, "logout", guarded.host)
    assert not (place.folder / "home/ring").exists()


def test_what_a_log_in_needs(place: Place) -> None:
    assert "non TTY" in fails(place, "login", "127.0.0.1:1")
    assert "mutually exclusive" in fails(place, "login", "-u", "u", "-p", "secret", "--password-stdin", "127.0.0.1:1")
    assert "must provide --username" in fails(place, "login", "--password-stdin", "127.0.0.1:1")
    assert "invalid registry" in fails(place, "login", "-u", "u", "-p", "secret", "a b")
    assert "without a colon" in fails(place, "login", "-u", "u:", "-p", "secret", "127.0.0.1:1")
    assert "cannot reach" in fails(place, "login", "-u", "u", "-p", "secret", "127.0.0.1:1")
    place.write("home/.docker/config.json", '{"auths": {"127.0.0.1:1": {"auth": "secret')
    assert "is not JSON" in fails(place, "login", "--get-login", "127.0.0.1:1")


def test_a_log_in_elsewhere_is_told(place: Place) -> None:
    place.write("home/.docker/config.json", json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}))
    assert works(place, "login", "--get-login") == "u\n"
    done = place.rl("logout")
    assert done.stdout == b"Not logged in to docker.io\n"
    assert b"rl logout --authfile" in done.stderr
    works(place, "logout", "--authfile", str(place.folder / "home/.docker/config.json"))
    assert "not logged into docker.io" in fails(place, "login", "--get-login")
    assert works(place, "logout", "--all") == "Removed login credentials for all registries\n"


def test_a_proxy(place: Place) -> None:
    built = build_image([LAYER])
    with ScriptedRegistry() as proxy:
        proxy.serve(built)
        place.write("etc/containers/registries.conf", '[[registry]]\nlocation = "registry.example"\ninsecure = true')
        environ = {**place.environ, "http_proxy": proxy.host, "https_proxy": f"http://{proxy.host}"}
        found = place.run(lambda: pull(place.locations, "registry.example/app", environ=environ, etc=place.etc))
        assert found.id == built.config_digest
        assert {headers["host"] for headers in proxy.asked("/v2/app")} == {"registry.example"}


def test_on_a_terminal_the_password_is_not_shown(place: Place, guarded: Registry) -> None:
    command = [sys.executable, "-I", "-m", "cli", "login", guarded.host]
    with Terminal(place.folder, command, place.environ) as terminal:
        terminal.wait_for("Username: ")
        terminal.enter("user")
        terminal.wait_for("Password: ")
        terminal.enter("secret")
        screen = terminal.wait_for("Login Succeeded")
        assert "secret" not in screen
