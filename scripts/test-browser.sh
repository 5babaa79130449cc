#!/usr/bin/env bash
# What tests in a real browser need.
#
#   scripts/test-browser.sh browser   see to it that there are Chromium and its driver, and print the paths of both
#   scripts/test-browser.sh axe       print the path of axe-core, a script that checks a page for accessibility
#
# Where there is no Chromium and this runs as root on a Debian, it is installed with apt-get. axe-core is fetched by npm into a
# folder below target/, once; where it cannot be had, axe answers 3.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

here=$(cd "$(dirname "$0")/.." && pwd)
FOLDER=${CARGO_TARGET_DIR:-$here/target}/test-browser
AXE=axe-core@4.10.3

browser() {
    if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
        install chromium chromium-driver
    fi
    command -v chromium
    command -v chromedriver
}

axe() {
    if ! [ -s "$FOLDER/$AXE/package/axe.min.js" ]; then
        local part
        command -v npm >/dev/null || exit 3
        mkdir -p "$FOLDER"
        part=$(mktemp -d "$FOLDER/part.XXXXXX")
        trap 'rm -rf "$part"' EXIT
        (cd "$part" && npm pack --silent "$AXE" >/dev/null 2>&1 && tar xf ./*.tgz) || exit 3
        rm -rf "${FOLDER:?}/$AXE"
        mv "$part" "$FOLDER/$AXE"
        trap - EXIT
    fi
    echo "$FOLDER/$AXE/package/axe.min.js"
}

case "${1:-}" in
browser | axe)
    "$1"
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
