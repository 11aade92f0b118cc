# The virtual environment that holds `rl`: made with Debian's own python3, because another one on the PATH may lie where other
# users cannot read. Sourced by contrib/quickstart and contrib/test, after node.sh.

PACKAGES_OF_RL=(cli rootless fuse_overlay slirp_net)

# Installs the clone with the given extras into a virtual environment, unless exactly that is there already. From then on this shell
# shares a lock on the environment, so that no other run installs different sources under the programs that use it.
install_environment() {
    local clone=$1 directory=$2 extras=$3 stamp
    stamp=$(sources_stamp "$clone" "$extras")
    mkdir -p "$(dirname "$directory")"
    exec {environment_lock}>>"$directory.lock"
    lock_environment "$directory" --shared
    if ! is_installed "$directory" "$stamp"; then
        lock_environment "$directory" --exclusive
        # Changing the kind of lock lets others in between.
        is_installed "$directory" "$stamp" || install_anew "$clone" "$directory" "$extras" "$stamp"
        lock_environment "$directory" --shared
    fi
}

lock_environment() {
    local directory=$1 kind=$2
    if ! flock --nonblock "$kind" "$environment_lock"; then
        say "waiting for another run that uses $directory"
        flock "$kind" "$environment_lock"
    fi
}

unlock_environment() {
    exec {environment_lock}>&-
}

is_installed() {
    [ "$(cat "$1/rl-stamp" 2>/dev/null)" = "$2" ]
}

# The stamp is written last, so that an installation that broke off is made again.
install_anew() {
    local clone=$1 directory=$2 extras=$3 stamp=$4
    say "installing rl into $directory"
    rm -f "$directory/rl-stamp"
    make_environment "$directory"
    pip_install "$clone" "$directory" "$extras"
    strip_environment "$directory"
    "$directory/bin/python" -I -m cli.make_module_archive
    write_launcher "$directory"
    printf '%s\n' "$stamp" >"$directory/rl-stamp"
}

sources_stamp() {
    local clone=$1 extras=$2
    {
        printf '%s\n' "$extras" "$(/usr/bin/python3 -V)"
        (
            cd "$clone"
            find pyproject.toml README.md contrib/setup "${PACKAGES_OF_RL[@]}" -type f -not -name '*.pyc' -print0 |
                LC_ALL=C sort -z | xargs -0 sha256sum
        )
    } | sha256sum | cut -d ' ' -f 1
}

make_environment() {
    local directory=$1
    if ! "$directory/bin/python" -I -c 'import pip' 2>/dev/null; then
        /usr/bin/python3 -m venv --clear "$directory"
    fi
}

# Builds from a copy: the clone may be read-only, and a build leaves folders behind.
pip_install() (
    clone=$1 directory=$2 extras=$3
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    (cd "$clone" && tar --exclude=__pycache__ -cf - pyproject.toml README.md "${PACKAGES_OF_RL[@]}") | tar -xf - -C "$copy"
    pip=("$directory/bin/python" -I -m pip -qq --no-input --disable-pip-version-check)
    "${pip[@]}" uninstall -y rl # its version number does not change with the sources
    "${pip[@]}" install --compile "$copy[$extras]"
)

# setuptools leaves a .pth file that costs every interpreter 0.5 ms, coverage another.
strip_environment() {
    local directory=$1
    "$directory/bin/python" -I -m pip -qq uninstall -y setuptools
    rm -f "$directory"/lib/python3*/site-packages/a1_coverage.pth
}

# The console script that pip makes reads the environment's PYTHON* variables and runs `site`; this one is isolated (-I) and
# does without (-S), which saves 3 ms a start. Helpers are started by sys.executable, the environment's python.
write_launcher() {
    local directory=$1 packages program entry
    packages=$(echo "$directory"/lib/python3*/site-packages)
    for program in rl rl-oci; do
        entry=main
        [ "$program" = rl ] || entry=main_oci
        rm -f "$directory/bin/$program"
        cat >"$directory/bin/$program" <<EOF
#!$directory/bin/python -IS
import sys
sys.path.append("$packages")
from cli.__main__ import $entry
$entry()
EOF
        chmod 0755 "$directory/bin/$program"
    done
}
