# What scripts need of the machine; they source it.

# Sees to it that a Debian package is there whose program was not found; no service that comes with it is started. Where this
# does not run as root on a Debian, it says which one is wanted, and fails.
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$(basename "$0" .sh): install $*" >&2
        return 1
    fi
    # Several tests may want something at once.
    flock --close /var/lock/killgate-install bash -euo pipefail -c '
        # 101: what would start services may not.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod +x "$policy"
        fi
        apt-get install -y --no-install-recommends "$@" || {
            apt-get update
            apt-get install -y --no-install-recommends "$@"
        }
    ' install "$@" >&2
}

# A port nobody listens on just now, and none that the kernel gives out by itself; whoever starts a server there tries again if
# somebody takes it meanwhile.
free_port() {
    local port
    while :; do
        port=$((10000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}
