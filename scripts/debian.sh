# What scripts need of the machine; they source it.

# Sees to it that a Debian package is there whose program was not found. Where this does not run as root on a Debian, it says
# which one is wanted, and fails.
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "$(basename "$0" .sh): install $*" >&2
        return 1
    fi
    # Several tests may want something at once; what a package starts does not keep the lock.
    local apt=(flock --close /var/lock/killgate-install apt-get)
    "${apt[@]}" install -y --no-install-recommends "$@" >&2 || {
        "${apt[@]}" update >&2
        "${apt[@]}" install -y --no-install-recommends "$@" >&2
    }
}

# A port nobody listens on just now; whoever starts a server there tries again if somebody takes it meanwhile.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 30000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}
