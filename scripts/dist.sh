#!/usr/bin/env bash
# A release: an archive, a Debian package, a list of what is in them, and checksums. The same sources, compiler and C library
# give the same bytes, wherever they lie and whenever it is made.
#
#   scripts/dist.sh [--program FILE] [DIRECTORY]
#
# DIRECTORY is dist by default. Without --program the release is built; with it the given program is packed.
# SOURCE_DATE_EPOCH is the time of the commit unless it is set. Needs gcc (for readelf), tar, gzip and dpkg-deb; cargo-cyclonedx,
# which makes the list of parts (SBOM), is built where it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=
if [ "${1:-}" = --program ]; then
    program=$(realpath "$2")
    shift 2
fi
out=${1:-dist}
mkdir -p "$out"
out=$(realpath "$out")

export LC_ALL=C TZ=UTC
umask 0022
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || { echo "dist: no git here; set SOURCE_DATE_EPOCH" >&2; exit 1; }
fi
export SOURCE_DATE_EPOCH
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

if [ -z "$program" ]; then
    # No path of this machine gets into the program.
    home=${CARGO_HOME:-$HOME/.cargo}
    sysroot=$(rustc --print sysroot)
    export RUSTFLAGS="--remap-path-prefix=$PWD=/killgate --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust"
    export CFLAGS="-ffile-prefix-map=$PWD=/killgate -ffile-prefix-map=$home=/cargo"
    # Of its own, since other flags would have all be built anew.
    target=$PWD/target/dist
    CARGO_TARGET_DIR=$target ${CARGO:-cargo} build --locked --release --bin killgate
    program=$target/release/killgate
fi

case $(uname -m) in
x86_64) machine=amd64 ;;
aarch64) machine=arm64 ;;
*) machine=$(uname -m) ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" manual "$work/pages"
gzip -9n "$work"/pages/man/*.1

# The same files in both: the program, its pages, its completions, its unit, and what is to be read first.
root=$work/root
install -Dm0755 "$program" "$root/usr/bin/killgate"
for page in "$work"/pages/man/*.1.gz; do
    install -Dm0644 "$page" "$root/usr/share/man/man1/${page##*/}"
done
install -Dm0644 "$work/pages/completions/killgate.bash" "$root/usr/share/bash-completion/completions/killgate"
install -Dm0644 "$work/pages/completions/_killgate" "$root/usr/share/zsh/vendor-completions/_killgate"
install -Dm0644 "$work/pages/completions/killgate.fish" "$root/usr/share/fish/vendor_completions.d/killgate.fish"
install -Dm0644 deploy/systemd/killgate.service "$root/lib/systemd/system/killgate.service"
documents=$root/usr/share/doc/killgate
install -Dm0644 killgate.example.toml "$documents/examples/killgate.example.toml"
install -Dm0644 -t "$documents/examples/prometheus" deploy/prometheus/killgate.rules.yml
install -Dm0644 -t "$documents/examples/grafana" deploy/grafana/killgate.json
install -Dm0644 -t "$documents" README.md docs/*.md
install -Dm0644 -t "$documents" CHANGELOG.md
cat >"$documents/copyright" <<'COPYRIGHT'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: killgate

Files: *
Copyright: the authors of killgate
License: Apache-2.0

License: Apache-2.0
 On Debian systems the whole text is in /usr/share/common-licenses/Apache-2.0.
COPYRIGHT

# The oldest C library that has all that the program asks for.
libc=$(readelf --version-info --wide "$program" | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -uV | tail -1)
name=killgate-$version-$machine
cp -r "$root" "$work/$name"
install -m0644 LICENSE "$work/$name/LICENSE"
find "$work/$name" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
tar --create --sort=name --owner=0 --group=0 --numeric-owner --format=gnu --directory "$work" "$name" \
    | gzip -9n >"$out/$name.tar.gz"

mkdir -p "$root/DEBIAN" "$root/etc/killgate/secrets"
install -m0755 deploy/debian/postinst deploy/debian/prerm deploy/debian/postrm "$root/DEBIAN/"
cat >"$root/DEBIAN/control" <<CONTROL
Package: killgate
Version: $version
Architecture: $machine
Maintainer: ${KILLGATE_MAINTAINER:-killgate <killgate@localhost.localdomain>}
Section: database
Priority: optional
Depends: adduser, libc6 (>= $libc), libgcc-s1
Installed-Size: $(du --apparent-size -sk "$root" | cut -f1)
Description: one HTTP gateway through which database sessions are ended
 Callers have tokens and the gateway has the keys: it signs for the cloud, keeps
 to the vendor's rate limit, and says what is known of each session afterwards.
 The record of a kill is committed before the vendor sees the first byte of it.
CONTROL
(cd "$root" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
deb=killgate_${version}_$machine.deb
dpkg-deb --root-owner-group -Zxz -z"${KILLGATE_XZ_LEVEL:-6}" --threads-max=1 --build "$root" "$out/$deb" >/dev/null

made=("$name.tar.gz" "$deb")
tools=$PWD/target/tools
cyclonedx=$tools/bin/cargo-cyclonedx
[ -x "$cyclonedx" ] || ${CARGO:-cargo} install --quiet --locked --root "$tools" --target-dir "$tools/build" cargo-cyclonedx@0.5.9
"$cyclonedx" cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename killgate.cdx
sed "s,file://$PWD,file:///killgate,g" killgate.cdx.json >"$out/killgate-$version.cdx.json"
rm killgate.cdx.json
made+=("killgate-$version.cdx.json")
(cd "$out" && sha256sum "${made[@]}" | tee SHA256SUMS)
