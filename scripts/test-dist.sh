#!/usr/bin/env bash
# Packs the program of a debug build twice, in two places at two times, and compares the bytes; then looks at the package as
# those who install it do. That the program itself comes out the same is for `make dist`, which builds a release.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=${1:-target/debug/killgate}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The program is big and its symbols are not looked at here.
strip -o "$work/killgate" "$program"
export KILLGATE_XZ_LEVEL=1
scripts/dist.sh --program "$work/killgate" "$work/first" >"$work/said"
umask 0077
TZ=Asia/Tokyo LC_ALL=C.UTF-8 TMPDIR=$(mktemp -d -p "$work") scripts/dist.sh --program "$work/killgate" "$work/second" >/dev/null
grep '^not' "$work/said" || true
diff -r "$work/first" "$work/second"
parts=$(ls "$work"/first/*.cdx.json)
for part in killgate actix-web rustls; do
    grep -q "\"name\": \"$part\"" "$parts" || { echo "$parts does not name $part" >&2; exit 1; }
done
if grep -n "$PWD" "$parts"; then
    echo "$parts tells where it was made" >&2
    exit 1
fi

deb=$(ls "$work"/first/*.deb)
dpkg-deb --contents "$deb" >"$work/contents"
for path in ./usr/bin/killgate ./lib/systemd/system/killgate.service ./usr/share/man/man1/killgate.1.gz \
    ./usr/share/man/man1/killgate-serve.1.gz ./usr/share/bash-completion/completions/killgate ./etc/killgate/secrets/; do
    grep -q " $path\$" "$work/contents" || { echo "$deb has no $path" >&2; exit 1; }
done
if grep -v '^[-d][rwx-]* root/root ' "$work/contents"; then
    echo "$deb has what is not root's" >&2
    exit 1
fi
if command -v lintian >/dev/null; then
    lintian --fail-on error --tag-display-limit 0 --suppress-tags unstripped-binary-or-object,statically-linked-binary,embedded-library,no-changelog,malformed-contact,bogus-mail-host "$deb"
else
    echo "not checked: the package by lintian, which is not installed"
fi
# Where this is root on a Debian without systemd, the package is tried out in full.
if [ "$(id -u)" = 0 ] && ! [ -d /run/systemd/system ] && ! [ -e /usr/bin/killgate ] && command -v adduser >/dev/null; then
    dpkg --install "$deb" >/dev/null
    trap 'dpkg --purge killgate >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
    [ "$(stat -c %U:%G:%a /etc/killgate/secrets)" = root:killgate:750 ]
    killgate --version
    dpkg --purge killgate >/dev/null 2>&1
    getent passwd killgate >/dev/null
    [ ! -e /usr/bin/killgate ]
else
    echo "not checked: installing the package; not root on a Debian without systemd, adduser or an own killgate"
fi
echo "the package is good, and the same twice"
