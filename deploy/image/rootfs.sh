#!/usr/bin/env bash
# rootfs.sh BINARY FOLDER: what an image of Floe holds, put into FOLDER: the program, the four libraries of glibc that it needs, the
# authorities that it trusts, a user, and a folder for its data. Deterministic, and no network. As root, or it cannot give the data's folder away.
set -euo pipefail

binary=$1 root=$2 user=65532
most=$((60 * 1000 * 1000))
authorities=/etc/ssl/certs/ca-certificates.crt

die() { echo "rootfs.sh: $*" >&2; exit 1; }

[ -x "$binary" ] || die "$binary is not there: cargo build --release --bin floe"
[ -e "$root" ] && die "$root is there already"
[ -s "$authorities" ] || die "$authorities is not there: apt-get install ca-certificates"
umask 022
mkdir -p "$root"/etc/floe "$root"/etc/ssl/certs "$root"/usr/bin "$root"/var/lib/floe
mkdir -m 1777 "$root"/tmp

install -m 0755 "$binary" "$root/usr/bin/floe"
# A release has no symbols left; other builds are mostly that.
strip --strip-all "$root/usr/bin/floe"
needed=$(ldd "$root/usr/bin/floe")
echo "$needed"
unexpected=$(echo "$needed" | grep -v -E '^\s*(linux-vdso\.so|lib(c|m|gcc_s)\.so|/lib[^ ]*/ld-linux)' || true)
[ -z "$unexpected" ] || die "it needs more than glibc: $unexpected"
for library in $(echo "$needed" | grep -o '/[^ ]*'); do
    install -D -m 0755 "$(realpath "$library")" "$root$library"
done

install -m 0644 "$authorities" "$root$authorities"
printf 'root:x:0:0::/:/sbin/nologin\nfloe:x:%s:%s::/var/lib/floe:/sbin/nologin\n' $user $user >"$root/etc/passwd"
printf 'root:x:0:\nfloe:x:%s:\n' $user >"$root/etc/group"
# Names are looked up in a pod's or container's /etc/hosts first.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chown $user:$user "$root/var/lib/floe"

bytes=$(du -sb "$root" | cut -f1)
[ "$bytes" -le "$most" ] || die "it has $bytes bytes, more than $most"
echo "$root: $bytes bytes, for user $user"
