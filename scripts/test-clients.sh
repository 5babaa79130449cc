#!/usr/bin/env bash
# Generates clients from openapi/, compiles them, and lets each one work with a demo of its own: a preview, the kill that it
# binds, a problem, two pages. Needs Node.js, npm, Python with venv, and Java for openapi-generator.
#
#   scripts/test-clients.sh [PROGRAM]     PROGRAM is killgate, by default target/debug/killgate
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

KILLGATE=$(realpath "${1:-target/debug/killgate}")
ROOT=$PWD
# Below the folder of builds, so that what was fetched once is there the next time.
TOOLS=${KILLGATE_CLIENT_TOOLS:-$PWD/target/clients}
# Pinned, so that a new generator is a commit here and not a surprise in CI.
NPM=(openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 @types/node@22)
PYPI=(openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 pydantic urllib3 python-dateutil typing-extensions)

work=$(mktemp -d)
demo=
stop() {
    if [ -n "$demo" ]; then
        kill "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
        demo=
    fi
}
trap 'stop; rm -rf "$work"' EXIT

# Runs a command beside a demo, with KILLGATE_URL and KILLGATE_TOKEN for it.
with_demo() {
    local log=$work/demo.log tries
    (cd "$work" && exec "$KILLGATE" demo --listen 127.0.0.1:0) >"$log" 2>&1 &
    demo=$!
    for tries in $(seq 600); do
        grep -q '^export DBA=' "$log" && grep -qo 'http://127.0.0.1:[0-9]*/sessions' "$log" && break
        kill -0 "$demo" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    KILLGATE_URL=$(grep -o 'http://127.0.0.1:[0-9]*/sessions' "$log" | head -1 | sed 's,/sessions,,') \
        KILLGATE_TOKEN=$(sed -n 's/^export DBA=//p' "$log") "$@" || { tail -20 "$log" >&2; exit 1; }
    stop
}

say() { printf -- '-- %s\n' "$*"; }

mkdir -p "$TOOLS"
if [ "$(cat "$TOOLS/made-of" 2>/dev/null)" != "${NPM[*]} ${PYPI[*]}" ]; then
    say "fetching generators"
    python3 -m venv "$TOOLS/python"
    "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check "${PYPI[@]}"
    (cd "$TOOLS" && echo '{"private":true,"type":"module"}' >package.json && npm install --silent --no-audit --no-fund "${NPM[@]}")
    echo "${NPM[*]} ${PYPI[*]}" >"$TOOLS/made-of"
fi
ln -s "$TOOLS/node_modules" "$work/node_modules"
echo '{"private":true,"type":"module"}' >"$work/package.json"
tsc() {
    "$TOOLS/node_modules/.bin/tsc" --strict --target es2022 --module nodenext --moduleResolution nodenext --skipLibCheck \
        --types node --typeRoots "$TOOLS/node_modules/@types" "$@"
}
python=$TOOLS/python/bin/python

say "openapi-typescript with openapi-fetch"
cp tests/clients/fetch.ts "$work/"
# Not from here: it would lint the document first, by rules that are for the document and not for the client.
(cd "$work" && "$TOOLS/node_modules/.bin/openapi-typescript" "$ROOT/openapi/killgate.json" --output api.ts >/dev/null && tsc fetch.ts)
with_demo node "$work/fetch.js"

say "openapi-python-client"
"$TOOLS/python/bin/openapi-python-client" generate --path "$ROOT/openapi/killgate.json" --meta none \
    --output-path "$work/killgate_client" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
cp tests/clients/client.py "$work/"
with_demo "$python" "$work/client.py"

if ! command -v java >/dev/null; then
    echo "not tried: openapi-generator; there is no java"
    exit 0
fi
jar=$("$python" -c 'import openapi_generator_cli, pathlib; print(next(pathlib.Path(openapi_generator_cli.__file__).parent.glob("*.jar")))')
generate() {
    java -jar "$jar" generate --input-spec "$ROOT/openapi/killgate-3.0.json" "$@" >"$work/said" 2>&1 \
        || { tail -30 "$work/said" >&2; exit 1; }
}

say "openapi-generator: typescript-fetch"
generate --generator-name typescript-fetch --output "$work/generated" --additional-properties importFileExtension=.js
cp tests/clients/generated.ts "$work/"
(cd "$work" && tsc generated.ts)
with_demo node "$work/generated.js"

say "openapi-generator: python"
generate --generator-name python --output "$work/python" --additional-properties packageName=killgate_generated
cp tests/clients/generated.py "$work/python/"
with_demo "$python" "$work/python/generated.py"

echo "not tried: openapi-generator's Go and Java; their libraries are in no registry that is used here"
say "four clients work"
