"""The pack in folders of any name, twice, and read-only: ComfyUI starts, serves the browser's files, and draws."""

import json
import shutil
import subprocess
import urllib.parse

import comfy_host
import pytest

pytestmark = pytest.mark.slow
NODES = {page.stem for page in (comfy_host.PACK / "web" / "docs").glob("*.md")}
TWIN = comfy_host.PACK / "example_workflows" / "api" / "text_to_avatar.json"


@pytest.fixture
def start(host):
    """A function that starts a server with the pack in folders of the given names; further class attributes by name."""
    running = []

    def run(*folders, kind=comfy_host.ComfyServer, **attributes):
        running.append(type("Server", (kind,), {"folders": folders, **attributes})(host))
        return running[-1]

    yield run
    for server in running:
        server.stop()


def check_that_it_works(server, folder):
    """All nodes are there, the browser's files are served, and the first workflow draws."""
    assert "IMPORT FAILED" not in server.boot_log and "Traceback" not in server.boot_log, server.boot_log[-4000:]
    modules = {info["python_module"] for name, info in server.get_json("/object_info").items() if name in NODES}
    assert modules == {f"custom_nodes.{folder}"}
    scripts = [path for path in server.get_json("/extensions") if "contrapposto.js" in path]
    assert scripts and all(server.get(path) for path in scripts)  # ComfyUI has quoted them
    place = urllib.parse.quote(folder)
    assert server.get(f"/extensions/{place}/docs/ContrappostoDoctor.md").startswith(b"# ")
    assert server.get(f"/extensions/{place}/js/views3d.mjs")
    assert "text_to_avatar" in server.get_json("/workflow_templates")[folder]
    assert json.loads(server.get(f"/api/workflow_templates/{place}/text_to_avatar.json"))["nodes"]
    run = server.run(json.loads(TWIN.read_text()))
    assert run.succeeded, run.error


@pytest.mark.parametrize("folder", ["comfyui-contrapposto", "ComfyUI Contrapposto", "contrapposto.main"])
def test_any_folder_name_will_do(start, folder):
    check_that_it_works(start(folder), folder)


def test_a_second_copy_is_told_of_and_does_no_harm(start):
    server = start("ComfyUI-Contrapposto", "contrapposto")
    assert "twice" in server.boot_log
    assert NODES <= set(server.get_json("/object_info"))
    assert server.run(json.loads(TWIN.read_text())).succeeded


class ReadOnly(comfy_host.ComfyServer):
    """The pack is a copy that nobody can write to, the superuser neither."""

    def _start(self):
        self.mounted = self.base / "custom_nodes" / self.folder
        names = subprocess.run(["git", "ls-files"], cwd=comfy_host.PACK, capture_output=True, text=True, check=True).stdout
        for name in names.splitlines():
            if not name.startswith(("tests/", "web_src/")):
                (self.mounted / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(comfy_host.PACK / name, self.mounted / name)
        for arguments in (["--bind", self.mounted, self.mounted], ["-o", "remount,ro,bind", self.mounted]):
            if subprocess.run(["mount", *arguments], capture_output=True).returncode:
                subprocess.run(["umount", self.mounted], capture_output=True)
                pytest.skip("a read-only mount needs the rights of a superuser on Linux")
        return super()._start()

    def stop(self):
        subprocess.run(["umount", "--lazy", self.mounted], capture_output=True)
        super().stop()


def test_a_read_only_folder_will_do(start):
    server = start(kind=ReadOnly, folder="ComfyUI-Contrapposto")
    with pytest.raises(OSError):
        (server.mounted / "x").write_text("")
    check_that_it_works(server, "ComfyUI-Contrapposto")
    assert "Read-only file system" not in server.log()


HIDE = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys({modules!r}))  # None there: it cannot be imported, and cannot be found
for path in (Path(folder) / "sitecustomize.py" for folder in sys.path):  # this file stands before the environment's own
    if path.is_file() and not path.samefile(__file__):
        exec(compile(path.read_text(), str(path), "exec"), {{"__name__": "sitecustomize", "__file__": str(path)}})
        break
"""


def hide(folder, *modules):
    """Environment variables of a Python that has not got these modules."""
    (folder / "sitecustomize.py").write_text(HIDE.format(modules=modules))
    return {"PYTHONPATH": str(folder)}


def test_without_any_optional_package(start, tmp_path):
    hidden = hide(tmp_path, "diffusers", "smplx", "ufbx", "accelerate", "ray", "cv2", "pyrender", "human_body_prior", "matplotlib", "peft")
    check_that_it_works(start("ComfyUI-Contrapposto", environment=hidden), "ComfyUI-Contrapposto")


def test_without_a_needed_package_the_log_says_which_and_other_packs_load(start, tmp_path):
    server = start("ComfyUI-Contrapposto", environment=hide(tmp_path, "roma"))
    assert "Contrapposto lacks roma" in server.boot_log and "pip install -r" in server.boot_log
    info = server.get_json("/object_info")
    assert "TinyModel" in info and NODES <= set(info)
