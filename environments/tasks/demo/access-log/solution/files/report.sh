#!/usr/bin/env bash
# Sums up an access log from standard input.
set -u
export LC_ALL=C

usage() {
  echo "usage: report.sh [--method NAME] [--top K]" >&2
  exit 2
}

method=""
top=""
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in
    --method) method=$2 ;;
    --top) top=$2 ;;
    *) usage ;;
  esac
  shift 2
done

line_form='^[^ ]+ ([^ ]+) (/[^ ]*) ([0-9]{3}) (0|[1-9][0-9]*)$'
number_form='^[0-9]+$'

# Sets `clean` to the path without query, numbers replaced.
clean_path() {
  local rest=${1%%\?*} part
  clean=""
  rest=${rest#/}
  while :; do
    part=${rest%%/*}
    [[ $part =~ $number_form ]] && part=N
    clean+="/$part"
    [[ $rest == */* ]] || break
    rest=${rest#*/}
  done
}

requests=0
skipped=0
errors=0
slowest=-1
slowest_text=none
declare -A paths=()
while IFS= read -r line || [ -n "$line" ]; do
  if ! [[ $line =~ $line_form ]]; then
    skipped=$((skipped + 1))
    continue
  fi
  verb=${BASH_REMATCH[1]} path=${BASH_REMATCH[2]} status=${BASH_REMATCH[3]} took=${BASH_REMATCH[4]}
  if [ -n "$method" ] && [ "$verb" != "$method" ]; then continue; fi
  clean_path "$path"
  requests=$((requests + 1))
  if [ "$status" -ge 500 ]; then errors=$((errors + 1)); fi
  if [ "$took" -gt "$slowest" ]; then
    slowest=$took
    slowest_text="$took $verb $clean"
  fi
  paths[$clean]=$((${paths[$clean]:-0} + 1))
done

echo "requests $requests"
echo "skipped $skipped"
echo "errors $errors"
echo "slowest $slowest_text"
if [ "$requests" -gt 0 ]; then
  for path in "${!paths[@]}"; do
    printf '%s %s\n' "${paths[$path]}" "$path"
  done | sort -k1,1nr -k2 | if [ -n "$top" ]; then head -n "$top"; else cat; fi
fi
