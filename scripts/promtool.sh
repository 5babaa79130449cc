#!/usr/bin/env bash
# Prometheus' promtool. Where it is missing and this runs as root on a Debian, it is installed with apt-get; the server that
# comes with it is not started.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

if ! command -v promtool >/dev/null; then
    # 101: what would start services may not.
    policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    install prometheus || exit 127
    [ "$(tail -1 "$policy" 2>/dev/null)" != "exit 101" ] || rm -f "$policy"
    trap - EXIT
fi
exec promtool "$@"
