# What every benchmark does first. Sourced by contrib/benchmarks/*, which have set `clone`; sets `user` and `environment`.

. "$clone/contrib/setup/node.sh"
. "$clone/contrib/setup/environment.sh"

# Installs rl, and the Debian packages of the peers; root measures as an unprivileged user ($RL_TEST_USER, default rltest).
prepare_benchmark() {
    local -a needed=(busybox-static ca-certificates gcc libc6-dev libfuse3-dev libseccomp2 pkg-config python3 python3-dev python3-venv
        uidmap)
    if [ "$(id -u)" = 0 ]; then
        user=${RL_TEST_USER:-rltest}
        environment=${RL_TEST_ENVIRONMENT:-/opt/rl}
    else
        user=$(id -un)
        environment=${XDG_DATA_HOME:-$HOME/.local/share}/rl-venv
    fi
    install_packages "${needed[@]}" "$@"
    open_devices
    make_user "$user"
    give_subordinate_ids "$user"
    install_environment "$clone" "$environment" fuse
}
