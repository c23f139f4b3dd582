#!/usr/bin/env bash
# Sums up an access log from standard input.
set -u

echo "not implemented" >&2
exit 1
