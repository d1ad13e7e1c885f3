#!/usr/bin/env bash
# build.sh BINARY FOLDER: a Debian package of that program in FOLDER; the last line says its path. Needs dpkg-deb, strip and objdump, and no network. The
# same binary gives the same package, byte for byte.
set -euo pipefail

binary=$1 folder=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..

die() { echo "build.sh: $*" >&2; exit 1; }

[ -x "$binary" ] || die "$binary is not there: cargo build --release --bin floe"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}
umask 022
mkdir -p "$folder"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 0755 "$tree"

file() { install -D -m "${3:-0644}" "$1" "$tree/$2"; }
file "$binary" usr/bin/floe 0755
strip --strip-all "$tree/usr/bin/floe"
file "$root/deploy/systemd/floe.service" lib/systemd/system/floe.service
file "$root/deploy/systemd/floe.socket" lib/systemd/system/floe.socket
file "$here/user.conf" lib/systemd/system/floe.service.d/user.conf
file "$here/floe.sysusers" usr/lib/sysusers.d/floe.conf
file "$here/floe.toml" etc/floe/floe.toml
file "$root/LICENSE" usr/share/doc/floe/copyright
file "$root/docs/operations.md" usr/share/doc/floe/operations.md
for script in postinst prerm postrm; do file "$here/$script" "DEBIAN/$script" 0755; done

unexpected=$(objdump -p "$tree/usr/bin/floe" | awk '$1 == "NEEDED" {print $2}' | grep -v -E '^(lib(c|m|gcc_s)\.so|ld-linux)' || true)
[ -z "$unexpected" ] || die "it needs more than glibc: $unexpected"
version=$("$binary" --version | cut -d' ' -f2)
# The newest of glibc's versions whose symbols it asks for.
glibc=$(objdump -T "$tree/usr/bin/floe" | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -uV | tail -1)
[ -n "$glibc" ] || die "$binary asks nothing of glibc"
echo /etc/floe/floe.toml >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr lib -type f | LC_ALL=C sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
cat >"$tree/DEBIAN/control" <<END
Package: floe
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: Floe's developers <floe@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: libc6 (>= $glibc), libgcc-s1, ca-certificates, systemd | systemd-standalone-sysusers
Section: net
Priority: optional
Description: Kafka-compatible broker whose log lives in object storage
 Ordinary Kafka clients produce to it and consume from it. What they are
 acknowledged is in a local log that was fsynced, or in the object store.
END
package=$folder/floe_${version}_$(dpkg --print-architecture).deb
# gzip is quick, and every dpkg reads it.
dpkg-deb --root-owner-group -Zgzip --build "$tree" "$package" >/dev/null
echo "$package"
