#!/bin/sh
# Builds the sandbox helper from docker/light/*.c into $POLYGYM_HOME/tools/light-<digest of the sources> and prints that path.
#   build.sh            builds when the sources changed
#   build.sh --check    builds nothing; exit status 1 when there is something to do
# CC and POLYGYM_CFLAGS may name another compiler and more flags (the tests build with sanitizers). Without them musl's is
# taken where there is one that can: before main() glibc asks the processor for its caches, and in a virtual machine each of
# these questions goes to the hypervisor: 0.48 ms of each sandbox's start on an Intel Xeon.
set -eu
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd)
home=${POLYGYM_HOME:-$here/../../.polygym}
flags="-std=gnu17 -O2 -Wall -Wextra -Werror -fno-strict-aliasing ${POLYGYM_CFLAGS:--static}"
digest=$( { cat "$here"/*.h "$here"/*.c; echo "$flags"; } | sha256sum | cut -c1-16)
target=$home/tools/light-$digest
if [ "${1:-}" = --check ]; then
  [ -x "$target" ]
  exit
fi
if [ ! -x "$target" ]; then
  mkdir -p "$home/tools"
  part=$target.$$
  trap 'rm -f "$part"' EXIT
  with_musl() {
    [ -z "${CC:-}${POLYGYM_CFLAGS:-}" ] && command -v musl-gcc >/dev/null 2>&1 || return 1
    kernel_headers="-idirafter /usr/include -idirafter /usr/include/$(musl-gcc -print-multiarch 2>/dev/null)"
    # shellcheck disable=SC2086 # lists of flags
    musl-gcc $flags $kernel_headers -o "$part" "$here"/*.c 2>/dev/null # an old one lacks system calls
  }
  # shellcheck disable=SC2086 # a list of flags
  with_musl || "${CC:-cc}" $flags -o "$part" "$here"/*.c
  # Executable but not readable by others: a sandbox's PID 1 runs it, and the kernel hides such a process from tracing.
  chmod 0711 "$part"
  mv -f "$part" "$target"
fi
echo "$target"
