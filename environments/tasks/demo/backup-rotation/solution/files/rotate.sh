#!/usr/bin/env bash
# Decides which backups to keep: rotate.sh DAILY WEEKLY MONTHLY < names
set -u
export LC_ALL=C

digits='^[0-9]+$'
if [ $# -ne 3 ] || ! [[ $1 =~ $digits && $2 =~ $digits && $3 =~ $digits ]]; then
  echo "usage: rotate.sh DAILY WEEKLY MONTHLY" >&2
  exit 2
fi
daily=$((10#$1)) weekly=$((10#$2)) monthly=$((10#$3))

month_days=(0 31 28 31 30 31 30 31 31 30 31 30 31)
name_form='^db-(20[0-9][0-9])-([0-9][0-9])-([0-9][0-9])\.tar$'

# Sets `week` to the number of the week, counted from Monday 1999-12-27; fails when there is no such date.
week_of() {
  local year=$((10#$1)) month=$((10#$2)) day=$((10#$3)) leap=0 length passed m
  if [ $((year % 4)) -eq 0 ]; then leap=1; fi # right for 2000 to 2099
  [ "$month" -ge 1 ] && [ "$month" -le 12 ] || return 1
  length=${month_days[month]}
  if [ "$month" -eq 2 ]; then length=$((length + leap)); fi
  [ "$day" -ge 1 ] && [ "$day" -le "$length" ] || return 1
  passed=$(((year - 2000) * 365 + (year - 2000 + 3) / 4 + day - 1))
  for ((m = 1; m < month; m++)); do passed=$((passed + month_days[m])); done
  if [ "$month" -gt 2 ]; then passed=$((passed + leap)); fi
  week=$(((passed + 5) / 7)) # 2000-01-01 was a Saturday
}

names=()
while IFS= read -r line || [ -n "$line" ]; do
  [ -n "$line" ] || continue
  if ! [[ $line =~ $name_form ]] || ! week_of "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"; then
    echo "bad name: $line" >&2
    exit 1
  fi
  names+=("$line")
done
[ ${#names[@]} -gt 0 ] || exit 0

days=0 weeks=0 months=0
last_week="" last_month=""
while IFS= read -r name; do
  [[ $name =~ $name_form ]]
  month=${BASH_REMATCH[1]}${BASH_REMATCH[2]}
  week_of "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}"
  why=""
  days=$((days + 1))
  if [ "$days" -le "$daily" ]; then why+=",daily"; fi
  if [ "$week" != "$last_week" ]; then
    weeks=$((weeks + 1))
    if [ "$weeks" -le "$weekly" ]; then why+=",weekly"; fi
  fi
  if [ "$month" != "$last_month" ]; then
    months=$((months + 1))
    if [ "$months" -le "$monthly" ]; then why+=",monthly"; fi
  fi
  last_week=$week last_month=$month
  if [ -n "$why" ]; then echo "keep $name ${why#,}"; else echo "drop $name"; fi
done < <(printf '%s\n' "${names[@]}" | sort -ru)
