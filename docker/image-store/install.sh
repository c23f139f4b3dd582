#!/bin/sh
# Installs packages into a new layer over a root file system, in a mount and process namespace of its own.
#   install.sh LOWERS LAYER MERGED WORK PACKAGE...    LOWERS as the overlay wants them, topmost first
# Prints the packages that the whole has then, with their versions.
set -eu
lowers=$1 layer=$2 merged=$3 work=$4
shift 4
mount --make-rprivate /
mkdir -p "$layer" "$merged" "$work"
chmod 0755 "$layer"
# Plain whiteouts and opaque folders only: the light tier follows no redirects.
# volatile: nothing is flushed while packages are unpacked, which takes most of the time; it is flushed once at the end.
plain=redirect_dir=off,metacopy=off,index=off,xino=off,volatile
mount -t overlay -o "lowerdir=$lowers,upperdir=$layer,workdir=$work,$plain" overlay "$merged"
mount -t proc proc "$merged/proc"
mount -t tmpfs -o mode=755,size=16m none "$merged/run"
[ -e "$merged/etc/resolv.conf" ] || : >"$merged/etc/resolv.conf"
mount --bind /etc/resolv.conf "$merged/etc/resolv.conf"
mount --bind /etc/hosts "$merged/etc/hosts" 2>/dev/null || :
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
unset TMPDIR
# Manuals and translations are not read in a sandbox.
cat >"$merged/etc/dpkg/dpkg.cfg.d/polygym" <<EOC
path-exclude=/usr/share/man/*
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/locale/*/LC_MESSAGES/*
EOC
echo 'Acquire::Languages "none";' >"$merged/etc/apt/apt.conf.d/90polygym"
chroot "$merged" apt-get update -q >&2
chroot "$merged" apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >&2
chroot "$merged" apt-get clean >&2
rm -rf "$merged"/var/lib/apt/lists/* "$merged"/var/log/apt "$merged"/var/log/dpkg.log "$merged"/tmp/* "$merged"/var/cache/debconf/*-old
mkdir -p "$merged/workspace"
sync -f "$layer"
chroot "$merged" dpkg-query -W -f '${Package} ${Version} ${Architecture}\n'
