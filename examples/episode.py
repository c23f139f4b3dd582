import json, os, urllib.request

url = os.environ.get("POLYGYM_URL", "http://127.0.0.1:7400")
token = os.environ.get("POLYGYM_TOKEN") or open(".polygym/token").read().strip()

def post(path, body):
    head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return json.load(urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), head)))

episode = post("/v1/episodes", {"task_id": "demo/leap-year", "framework": "anthropic.bash-editor"})
path = f"/v1/episodes/{episode['episode_id']}"
print(episode["observations"][0]["messages"][-1]["content"])  # what your policy reads; the tools are beside it
command = "echo 'def is_leap(year): return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)' > solution.py"
call = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": json.dumps({"command": command})}}
post(path + "/step", {"seq": 1, "action": {"message": {"role": "assistant", "tool_calls": [call]}}})
print("reward", post(path + "/finish", {"seq": 2})["reward"])
