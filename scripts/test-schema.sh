#!/usr/bin/env bash
# Holds a demo against openapi/killgate.json: schemathesis makes requests of it, sound ones and broken ones, and looks at each
# answer: its status, its form, its headers, its events. Needs Python with venv.
#
#   scripts/test-schema.sh [PROGRAM]     PROGRAM is killgate, by default target/debug/killgate
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

KILLGATE=$(realpath "${1:-target/debug/killgate}")
DOCUMENT=$PWD/openapi/killgate.json
TOOLS=$(realpath -m "${KILLGATE_CLIENT_TOOLS:-target/clients}")
PINNED=schemathesis==4.32.5

source scripts/demo.sh
work=$(mktemp -d)
trap 'stop_demo; rm -rf "$work"' EXIT

mkdir -p "$TOOLS"
if [ "$(cat "$TOOLS/schema-made-of" 2>/dev/null)" != "$PINNED" ]; then
    python3 -m venv "$TOOLS/schema"
    "$TOOLS/schema/bin/pip" install --quiet --disable-pip-version-check "$PINNED"
    echo "$PINNED" >"$TOOLS/schema-made-of"
fi

# A kill can be refused for what no schema says: a place that is not there, a window that is too wide. The same requests each
# time, so that a fault in CI is one of the change; what it keeps of a run goes with the run.
hold() {
    cd "$work"
    "$TOOLS/schema/bin/schemathesis" run "$DOCUMENT" --url "$KILLGATE_URL" -H "Authorization: Bearer $KILLGATE_TOKEN" \
        --exclude-checks positive_data_acceptance --max-examples 40 --generation-deterministic --no-color
}
with_demo hold
