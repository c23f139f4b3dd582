#!/usr/bin/env bash
set -eu
url=${POLYGYM_URL:-http://127.0.0.1:7400} token=${POLYGYM_TOKEN:-$(cat .polygym/token)} id=ep_first-$RANDOM$RANDOM
post() { curl -sS --fail-with-body "$url$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d @-; }

post /v1/episodes <<<'{"episode_id": "'$id'", "task_id": "demo/leap-year", "framework": "anthropic.bash-editor"}' >/dev/null
command="echo 'def is_leap(year): return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)' > solution.py"
post /v1/episodes/$id/step <<<'{"seq": 1, "action": {"message": {"role": "assistant", "tool_calls": [{"id": "c1",
  "type": "function", "function": {"name": "bash", "arguments": "{\"command\": \"'"$command"'\"}"}}]}}}' >/dev/null
post /v1/episodes/$id/finish <<<'{"seq": 2}' | grep -o '"reward":[^,]*'
