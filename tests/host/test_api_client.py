"""The client of docs/api_client.py, as a developer would run it."""

import os
import subprocess
import sys

import comfy_host
from PIL import Image

CLIENT = comfy_host.PACK / "docs" / "api_client.py"
EXAMPLE = comfy_host.PACK / "example_workflows" / "api" / "text_to_avatar.json"


def run_client(server, *arguments):
    environment = {**os.environ, "COMFYUI_URL": server.url}
    return subprocess.run([sys.executable, CLIENT, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=180)


def test_queues_an_example_and_downloads_its_picture(server, tmp_path):
    done = run_client(server, EXAMPLE, tmp_path / "out", "text=a person kneels", "seed=5")
    assert done.returncode == 0, done.stderr
    paths = done.stdout.split()
    assert paths and all(Image.open(path).size[0] >= 256 for path in paths)


def test_says_what_failed(server, tmp_path):
    done = run_client(server, EXAMPLE, tmp_path, "text= ")
    assert done.returncode != 0 and "is empty. Describe the pose" in done.stderr
