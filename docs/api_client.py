"""Queues an API-format workflow on a running ComfyUI and downloads what it makes. Only Python's own library is needed.

    python api_client.py ../example_workflows/api/text_to_avatar.json out/ 'text=a dancer leaps' seed=7

NAME=VALUE sets the input NAME of every node that has it. The server is 127.0.0.1:8188, or $COMFYUI_URL.
"""

import json
import os
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

SERVER = os.environ.get("COMFYUI_URL", "http://127.0.0.1:8188")


def ask(path, data=None):
    request = urllib.request.Request(SERVER + path, data and json.dumps(data).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def main(workflow, folder, *settings):
    prompt = json.loads(Path(workflow).read_text(encoding="utf-8"))
    for setting in settings:
        name, _, value = setting.partition("=")
        for node in prompt.values():
            if not isinstance(node["inputs"].get(name, []), list):  # a list is a link to another node
                node["inputs"][name] = type(node["inputs"][name])(value)
    number = json.loads(ask("/prompt", {"prompt": prompt}))["prompt_id"]
    while not (entry := json.loads(ask(f"/history/{number}")).get(number)) or not entry["status"]["completed"]:
        if entry and entry["status"]["status_str"] == "error":
            sys.exit(f"failed: {entry['status']['messages'][-1][1]['exception_message']}")
        time.sleep(0.2)
    for output in entry["outputs"].values():
        for file in (*output.get("images", ()), *output.get("gifs", ()), *output.get("3d", ())):
            if file["type"] == "output":
                Path(folder).mkdir(parents=True, exist_ok=True)
                path = Path(folder) / file["filename"]
                path.write_bytes(ask("/view?" + urllib.parse.urlencode({k: file[k] for k in ("filename", "subfolder", "type")})))
                print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
