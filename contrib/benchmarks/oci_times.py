"""The measurements of contrib/benchmarks/oci: one bundle, run to its end by three runtimes. Exit status 1: a goal was missed."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, compare, options_of, parser_of, table

# An interpreter's start and the imports against C and Go: reported, with room above what was measured.
_GOALS = {"crun": 6.0, "runc": 4.0}


def main() -> int:
    """Measure, print, and return the exit status."""
    options = options_of(parser_of("oci", __doc__, 40))
    account = pwd.getpwnam(options.user)
    folder = tempfile.mkdtemp(prefix="rl-oci-", dir="/var/tmp")
    try:
        bundle = _make_bundle(folder, options.environment, account)
        commands = {name: [name, "--root", f"{folder}/{name}"] for name in _GOALS}
        commands["crun"].append("--cgroup-manager=disabled")
        ours = [f"{options.environment}/bin/rl-oci", "--root", f"{folder}/rl"]
        results = [
            compare(
                f"run of a bundle, beside {name}",
                lambda: _run(ours, bundle, folder, account),
                lambda command=command: _run(command, bundle, folder, account),
                runs=options.runs,
                goal=_GOALS[name],
            )
            for name, command in commands.items()
        ]
    finally:
        shutil.rmtree(folder)
    print(f"\nmedians of {options.runs} paired runs\n")
    print(table([COLUMNS, *(result.row() for result in results)]))
    return 0 if all(result.ratio <= result.goal for result in results) else 1


def _make_bundle(folder: str, environment: str, account: pwd.struct_passwd) -> str:
    """Make a bundle of busybox's `true`, with the config that `rl oci spec --rootless` writes."""
    bundle = f"{folder}/bundle"
    for name in ("bin", "proc", "dev", "sys"):
        os.makedirs(f"{bundle}/rootfs/{name}")
    shutil.copy("/bin/busybox", f"{bundle}/rootfs/bin/busybox")
    os.symlink("busybox", f"{bundle}/rootfs/bin/true")
    for path, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(f"{path}/{name}", account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.chmod(folder, 0o755)
    _execute([f"{environment}/bin/rl-oci", "spec", "--rootless"], bundle, folder, account)
    with open(f"{bundle}/config.json") as file:
        text = file.read()
    text = text.replace('"terminal": true', '"terminal": false').replace('"sh"', '"true"')
    with open(f"{bundle}/config.json", "w") as file:
        file.write(text)
    return bundle


def _run(runtime: list[str], bundle: str, folder: str, account: pwd.struct_passwd) -> None:
    _execute([*runtime, "run", "--bundle", bundle, "one"], bundle, folder, account)


def _execute(command: list[str], cwd: str, folder: str, account: pwd.struct_passwd) -> None:
    environ = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": folder, "XDG_RUNTIME_DIR": folder}
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    result = subprocess.run(command, cwd=cwd, env=environ, check=False, **streams, **who)
    if result.returncode != 0:
        raise RuntimeError(f"{command}: status {result.returncode}: {result.stderr}")


if __name__ == "__main__":
    sys.exit(main())
