"""Finds ComfyUI installations on this machine and runs them for tests. Nothing of the user's own data is touched.

Where it looks, first to last:
 * $COMFYUI_PATH, and then nowhere else;
 * the installation whose custom_nodes folder holds this pack;
 * comfy-cli's default and recent workspace;
 * ~/comfy/ComfyUI (or ~/Documents/comfy/ComfyUI), then ~/ComfyUI.
$COMFYUI_PATHS (separated like $PATH) and ~/comfy-*/ComfyUI add installations, so that old and new hosts are tested.
$COMFYUI_PYTHON names the interpreter when an installation has none of its own.
"""

from __future__ import annotations

import atexit
import configparser
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACK = Path(__file__).absolute().parents[2]
PACK_FOLDER = "ComfyUI-Contrapposto"
TEST_NODES = PACK / "tests" / "host" / "tiny_nodes"
MARKERS = ("main.py", "nodes.py", "execution.py", "comfy", "comfy_extras", "comfy_api")
# A browser shall show the workflow and nothing before it: no tour, no map.
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}
BOOT_SECONDS = 180
PROMPT_SECONDS = 180
NO_HOST = "no ComfyUI found: set COMFYUI_PATH to an installation (searched custom_nodes, comfy-cli, ~/comfy, ~/ComfyUI)"


@dataclass(frozen=True)
class ComfyHost:
    """A ComfyUI installation.

    Args:
        root: the folder with main.py.
        python: an interpreter that can run it.
    """

    root: Path
    python: Path

    @property
    def version(self):
        return (self.root / "comfyui_version.py").read_text().split('"')[1]

    def lacks(self):
        """Returns the packages of our requirements.txt that this host has not got."""
        modules = {"opencv-python": "cv2", "Pillow": "PIL"}
        wanted = {modules.get(name, name): name for name in (PACK / "requirements.txt").read_text().split()}
        probe = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))"
        found = subprocess.run([self.python, "-c", probe, *wanted], capture_output=True, text=True, check=True)
        return [wanted[module] for module in found.stdout.split()]

    def environment(self):
        """Returns the variables of a process of this host: offline, patient threads, nothing of our own Python."""
        own = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        }
        return own | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


@cache
def find_hosts():
    """Returns every usable ComfyUI installation, the main one first."""
    roots = [root for root in map(Path, _candidate_roots()) if all((root / marker).exists() for marker in MARKERS)]
    hosts = [ComfyHost(root, _python_of(root)) for root in dict.fromkeys(roots)]
    return tuple(host for host in hosts if host.python is not None)


def _candidate_roots():
    home = Path.home()
    if os.environ.get("COMFYUI_PATH"):
        yield os.environ["COMFYUI_PATH"]
    else:
        if PACK.parent.name == "custom_nodes":
            yield PACK.parent.parent
        yield from _comfy_cli_workspaces(home)
        yield from (home / "comfy/ComfyUI", home / "Documents/comfy/ComfyUI", home / "ComfyUI")
        yield from sorted(home.glob("comfy-*/ComfyUI"))
    yield from filter(None, os.environ.get("COMFYUI_PATHS", "").split(os.pathsep))


def _comfy_cli_workspaces(home):
    config = configparser.ConfigParser()
    config.read(home / ".config/comfy-cli/config.ini")
    return filter(None, (config["DEFAULT"].get(key) for key in ("default_workspace", "recent_workspace")))


def _python_of(root):
    """Returns an interpreter that has what ComfyUI needs, or None."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    own = [root / ".venv", root / "venv", root.parent / ".venv", root.parent / "venv"]
    named = os.environ.get("COMFYUI_PYTHON")
    for python in [*([Path(named)] if named else []), *(venv / folder / name for venv in own), Path(sys.executable)]:
        probe = (
            "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ('torch', 'aiohttp', 'safetensors'))))"
        )
        if python.exists() and subprocess.run([python, "-c", probe], capture_output=True).returncode == 0:
            return python
    return None


class PromptRejected(Exception):
    """ComfyUI refused a prompt before running it; ``report`` is its answer."""

    def __init__(self, report):
        self.report = report
        super().__init__(json.dumps(report, indent=1))


@dataclass(frozen=True)
class Run:
    """What came of a prompt: ComfyUI's history entry."""

    entry: dict

    @property
    def succeeded(self):
        return self.entry["status"]["status_str"] == "success"

    @property
    def error(self):
        """The data of the execution_error message, or None."""
        return self._message("execution_error")

    @property
    def interrupted(self):
        return self._message("execution_interrupted") is not None

    @property
    def cached(self):
        """Ids of the nodes that did not run because their result was known."""
        return set((self._message("execution_cached") or {}).get("nodes", ()))

    def images(self, node):
        """Returns what the node showed: [{filename, subfolder, type}]."""
        return self.entry["outputs"].get(node, {}).get("images", [])

    def _message(self, kind):
        return next((data for name, data in self.entry["status"]["messages"] if name == kind), None)


class ComfyServer:
    """A running ComfyUI process with this pack and our test models as its only custom nodes, in a temporary base folder."""

    folders = (PACK_FOLDER,)  # names of the folders in custom_nodes that hold our pack
    packs = (TEST_NODES,)  # custom nodes beside ours
    environment = {}  # variables of the process, beside the host's
    arguments = ()  # for ComfyUI's command line

    def __init__(self, host: ComfyHost):
        self.host = host
        self.base = Path(tempfile.mkdtemp(prefix="contrapposto-host-"))
        (self.base / "custom_nodes").mkdir()
        for folder in self.folders:
            (self.base / "custom_nodes" / folder).symlink_to(PACK, target_is_directory=True)
        for pack in self.packs:
            (self.base / "custom_nodes" / pack.name).symlink_to(pack, target_is_directory=True)
        (self.base / "input").mkdir()
        shutil.copy(host.root / "input" / "example.png", self.base / "input")  # a fresh ComfyUI has it
        settings = self.base / "user" / "default" / "comfy.settings.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(SETTINGS))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = self.base / "server.log"
        self.process = self._start()
        self.boot_log = self.log()

    def _start(self):
        command = [self.host.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--base-directory", str(self.base)]
        command += ["--database-url", "sqlite:///:memory:", *self.arguments]
        with open(self.log_path, "w") as log:
            process = subprocess.Popen(
                command, cwd=self.host.root, env=self.host.environment() | self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/system_stats", timeout=5).close()
                return process
            except OSError:
                time.sleep(0.2)
        process.kill()
        raise RuntimeError(f"ComfyUI {self.host.version} did not start:\n{self.log()[-4000:]}")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.base, ignore_errors=True)

    def get(self, path, **query):
        """Returns the bytes of a GET request."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def get_json(self, path, **query):
        return json.loads(self.get(path, **query))

    def post_json(self, path, data):
        request = urllib.request.Request(
            self.url + path, json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = answer.read()
            return json.loads(body) if body else None

    def submit(self, prompt):
        """Queues an API-format prompt and returns its id.

        Raises:
            PromptRejected: ComfyUI found a mistake in it.
        """
        try:
            return self.post_json("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})["prompt_id"]
        except urllib.error.HTTPError as error:
            raise PromptRejected(json.loads(error.read())) from None

    def wait(self, prompt_id):
        """Returns the Run of a queued prompt once ComfyUI is through with it."""
        deadline = time.monotonic() + PROMPT_SECONDS
        while time.monotonic() < deadline:
            entry = self.get_json(f"/history/{prompt_id}").get(prompt_id)
            if entry and (entry.get("status") or {}).get("status_str"):
                return Run(entry)
            time.sleep(0.05)
        raise RuntimeError(f"prompt {prompt_id} did not finish:\n{self.log()[-4000:]}")

    def run(self, prompt):
        return self.wait(self.submit(prompt))

    def picture(self, image):
        """Returns a shown image as an (H, W, C) uint8 array."""
        import io

        import numpy as np
        from PIL import Image

        data = self.get("/view", **{key: image[key] for key in ("filename", "subfolder", "type")})
        return np.asarray(Image.open(io.BytesIO(data)))


@cache
def usable(host: ComfyHost | None):
    """Returns None when tests can run in this host, else the reason why not."""
    if host is None:
        return NO_HOST
    if missing := host.lacks():
        return f"{host.root} lacks {', '.join(missing)}: run {host.python} -m pip install -r requirements.txt"
    return None


@cache
def serve(host: ComfyHost):
    """Returns the running server of a host; it is started once and lives as long as the test run."""
    server = ComfyServer(host)
    atexit.register(server.stop)
    return server
