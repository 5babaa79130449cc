#!/usr/bin/env bash
# Runs CMD as a slow machine would: at the lowest priority, beside one busy loop for each processor.
#
#   scripts/under-load.sh CMD…      such as: scripts/under-load.sh scripts/test-postgres.sh run -- cargo test
#
# CMD and each loop have a session of their own. Where the kernel schedules by sessions (autogroup, as most distributions
# have it), nice counts only within one of them: CMD shares the processors with the loops, whatever its priority. Where
# it does not, CMD gets what the loops leave. The loops end with CMD, and after KILLGATE_LOAD_SECONDS (10000) in any case.
set -euo pipefail

if [ $# = 0 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

loops=()
trap 'kill "${loops[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
for ((n = $(nproc); n > 0; n--)); do
    # In the background of a script nobody leads a group, so setsid does not fork and the id is the loop's own.
    setsid timeout "${KILLGATE_LOAD_SECONDS:-10000}" sh -c 'while :; do :; done' &
    loops+=($!)
done
setsid --wait nice -n 19 "$@"
