#!/usr/bin/env bash
# A throw-away HTTP proxy for tests (tinyproxy), on loopback.
#
#   scripts/test-proxy.sh start USER PASSWORD [PID]   start one that wants them, and print its port and its directory; its log
#                                                     is in the directory. It ends with the process PID
#   scripts/test-proxy.sh stop DIRECTORY              end it
#
# Where no tinyproxy is installed and this runs as root on a Debian, it is installed with apt-get.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

command -v tinyproxy >/dev/null || install tinyproxy-bin

start() {
    local dir port pid try
    dir=$(mktemp -d "${TMPDIR:-/tmp}/killgate-tinyproxy.XXXXXX")
    for try in 1 2 3 4 5 6 7 8; do
        # One that somebody else has taken makes it end at once, and another is tried.
        port=$(free_port)
        cat >"$dir/conf" <<CONF
Listen 127.0.0.1
Port $port
Timeout 600
MaxClients 50
LogLevel Info
LogFile "$dir/log"
BasicAuth $1 $2
CONF
        : >"$dir/log"
        tinyproxy -d -c "$dir/conf" >/dev/null 2>"$dir/errors" </dev/null &
        pid=$!
        for _ in $(seq 300); do
            kill -0 "$pid" 2>/dev/null || continue 2
            if grep -q 'Accepting connections' "$dir/log"; then
                echo "$pid" >"$dir/pid"
                # Ends with the test, however that ends.
                if [ -n "${3:-}" ]; then
                    (while kill -0 "$3" 2>/dev/null && [ -d "$dir" ]; do sleep 1; done
                        kill "$pid" 2>/dev/null || true
                        rm -rf "$dir") >/dev/null 2>&1 </dev/null &
                fi
                echo "$port"
                echo "$dir"
                return
            fi
            sleep 0.1
        done
        kill "$pid" 2>/dev/null || true
    done
    cat "$dir/errors" "$dir/log" >&2
    exit 1
}

case "${1:-}" in
    start) start "${2:?user}" "${3:?password}" "${4:-}" ;;
    stop)
        kill "$(cat "${2:?a directory}/pid")" 2>/dev/null || true
        rm -rf "$2"
        ;;
    *)
        sed -n '2,9s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
