# What the node must have before `rl` runs: Debian packages, open devices, a user with subordinate IDs.
# Sourced by contrib/quickstart and contrib/test. Every function changes nothing where all is there.

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# Runs a command as root: directly, or by sudo. The proxy's variables are handed on, because sudo drops them.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
        return
    fi
    command -v sudo >/dev/null || die "this needs root, and there is no sudo here; let an administrator run: $*"
    local variable kept=()
    for variable in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!variable:-}" ] || kept+=("$variable=${!variable}")
    done
    say "sudo: $*"
    sudo env "${kept[@]}" "$@"
}

# Runs a command as another user with that user's own environment; standard input and terminal stay.
as_user() {
    local user=$1
    shift
    if [ "$(id -un)" = "$user" ]; then
        "$@"
    else
        (cd / && setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups --reset-env -- "$@")
    fi
}

missing_packages() {
    local package
    local -A installed=()
    while read -r package; do
        installed[$package]=1
    done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
    for package in "$@"; do
        [ -n "${installed[$package]:-}" ] || printf '%s\n' "$package"
    done
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing Debian packages: ${missing[*]}"
    as_root sh -c "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends ${missing[*]}" \
        >/dev/null
}

# Gives the devices the mode that a distribution's udev gives them; minimal machines without udev have them closed.
open_devices() {
    local device
    for device in /dev/fuse /dev/net/tun; do
        if [ -c "$device" ] && [ "$(stat -c %a "$device")" != 666 ]; then
            as_root chmod 0666 "$device"
        fi
    done
}

make_user() {
    local user=$1
    id -u "$user" >/dev/null 2>&1 || as_root useradd --create-home --shell /bin/bash "$user"
}

give_subordinate_ids() {
    local user=$1 first
    if ! has_range "$user" /etc/subuid; then
        first=$(next_free_id /etc/subuid)
        as_root usermod --add-subuids "$first-$((first + 65535))" "$user"
    fi
    if ! has_range "$user" /etc/subgid; then
        first=$(next_free_id /etc/subgid)
        as_root usermod --add-subgids "$first-$((first + 65535))" "$user"
    fi
}

has_range() {
    grep -qE "^($1|$(id -u "$1")):" "$2" 2>/dev/null
}

next_free_id() {
    local file=$1
    [ -e "$file" ] || file=/dev/null
    awk -F: 'BEGIN { free = 100000 } $2 + $3 > free { free = $2 + $3 } END { print free }' "$file"
}
