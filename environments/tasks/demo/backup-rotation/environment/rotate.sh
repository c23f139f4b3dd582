#!/usr/bin/env bash
# Decides which backups to keep: rotate.sh DAILY WEEKLY MONTHLY < names
set -u

echo "not implemented" >&2
exit 1
