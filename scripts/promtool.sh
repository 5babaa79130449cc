#!/usr/bin/env bash
# Prometheus' promtool. Where it is missing and this runs as root on a Debian, it is installed with apt-get; the server that
# comes with it is not started.
set -euo pipefail

if ! command -v promtool >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "promtool: not found; install the package prometheus" >&2
        exit 127
    fi
    # Several tests may ask for it at once.
    exec 9>/var/lock/killgate-promtool
    flock 9
    if ! command -v promtool >/dev/null; then
        # 101: what would start services may not.
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
            trap 'rm -f "$policy"' EXIT
        fi
        apt-get install -y --no-install-recommends prometheus >&2 || {
            apt-get update >&2
            apt-get install -y --no-install-recommends prometheus >&2
        }
        [ "$(tail -1 "$policy" 2>/dev/null)" != "exit 101" ] || rm -f "$policy"
        trap - EXIT
    fi
    exec 9>&-
fi
exec promtool "$@"
