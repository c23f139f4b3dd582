#!/bin/sh
# Makes the distribution's smallest root file system, in a mount and process namespace of its own.
#   root.sh TARGET PART RELEASE MIRROR
set -eu
target=$1 part=$2 release=$3 mirror=$4
mount --make-rprivate /
mkdir -p "$target" "$part/empty" "$part/work" "$part/merged"
chmod 0755 "$target"
# volatile: nothing is flushed while it is made, which takes most of the time; it is flushed once at the end.
plain=redirect_dir=off,metacopy=off,index=off,xino=off,volatile
mount -t overlay -o "lowerdir=$part/empty,upperdir=$target,workdir=$part/work,$plain" overlay "$part/merged"
unset TMPDIR
debootstrap --variant=minbase "$release" "$part/merged" "$mirror" >&2
rm -rf "$part"/merged/var/cache/apt/archives/*.deb "$part"/merged/var/log/*.log
umount -l "$part/merged"
sync -f "$target"
