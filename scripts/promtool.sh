#!/usr/bin/env bash
# Prometheus' promtool. Where it is missing and this runs as root on a Debian, it is installed with apt-get; the server that
# comes with it is not started.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

command -v promtool >/dev/null || install prometheus || exit 127
exec promtool "$@"
