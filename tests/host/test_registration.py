"""A real ComfyUI takes the pack in: no failed import, all nodes known, pages and templates served, nothing heavy."""

import json
import subprocess

import comfy_host
import pytest

OURS = "Contrapposto"
HEAVY = {"diffusers", "transformers", "smplx", "pyrender", "human_body_prior", "scipy", "cv2"}

# Runs inside the host's own interpreter: its loader, its node list, twice from folders with awkward names.
PROBE = """
import asyncio, json, os, sys
root, *folders = sys.argv[1:]
sys.path.insert(0, root)
os.chdir(root)
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import nodes, types
foreign = sys.modules["models"] = types.ModuleType("models")
before, core = set(sys.modules), set(nodes.NODE_CLASS_MAPPINGS)
loaded = [asyncio.run(nodes.load_custom_node(folder)) for folder in folders]
print("\\n" + json.dumps({
    "loaded": loaded,
    "nodes": sorted(set(nodes.NODE_CLASS_MAPPINGS) - core),
    "added": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
    "untouched": sys.modules["models"] is foreign and len(vars(foreign)) == 5,
}))
"""


@pytest.fixture(scope="module")
def info(server):
    return {name: node for name, node in server.get_json("/object_info").items() if name.startswith(OURS)}


def test_log_shows_no_failed_import(server):
    log = server.log()
    assert comfy_host.PACK_FOLDER in log
    for trouble in ("IMPORT FAILED", "Cannot import", "Error while calling comfy_entrypoint", "Traceback"):
        assert trouble not in log, log[-4000:]


def test_every_node_is_offered(info):
    assert len(info) == 16
    for node in info.values():
        assert node["python_module"] == f"custom_nodes.{comfy_host.PACK_FOLDER}"
        assert node["category"].startswith("contrapposto/") and node["description"]


def test_every_widget_and_socket_has_a_tooltip(info):
    for name, node in info.items():
        for given in {**node["input"].get("required", {}), **node["input"].get("optional", {})}.items():
            assert given[1][1].get("tooltip"), (name, given)
        assert all(node["output_tooltips"]), name


def test_newer_hosts_get_the_newer_options(host, info):
    known = (host.root / "comfy_api" / "latest" / "_io.py").read_text()
    steps = info["ContrappostoTextToPose"]["input"]["required"]["steps"][1]
    assert steps.get("advanced") == (True if "advanced: bool=None" in known else None)
    assert bool(info["ContrappostoTextToPose"].get("search_aliases")) == ("search_aliases" in known)


def test_loads_from_awkward_folders_without_heavy_modules(host, tmp_path):
    folders = [tmp_path / "ComfyUI-Contrapposto", tmp_path / "my nodes (copy)"]
    for folder in folders:
        folder.symlink_to(comfy_host.PACK, target_is_directory=True)
    done = subprocess.run(
        [host.python, "-c", PROBE, host.root, *folders],
        capture_output=True,
        text=True,
        env=host.environment(),
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["loaded"] == [True, True], done.stderr[-3000:]
    assert len([name for name in report["nodes"] if name.startswith(OURS)]) == 16
    assert report["untouched"]
    assert not HEAVY & set(report["added"])


def test_help_pages_are_served(server, info):
    for name in info:
        page = server.get(f"/extensions/{comfy_host.PACK_FOLDER}/docs/{name}.md").decode()
        assert page.startswith("# ")


def test_templates_are_listed_and_served(server):
    examples = comfy_host.PACK / "example_workflows"
    listed = server.get_json("/workflow_templates")[comfy_host.PACK_FOLDER]
    assert sorted(listed) == sorted(path.stem for path in examples.glob("*.json"))
    for name in listed:
        picture = server.get(f"/api/workflow_templates/{comfy_host.PACK_FOLDER}/{name}.jpg")
        assert picture == (examples / f"{name}.jpg").read_bytes()


def test_requirements_change_no_installed_package(host):
    listing = subprocess.run([host.python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True)
    installed = {entry["name"].lower().replace("_", "-") for entry in json.loads(listing.stdout)}
    command = [host.python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    command += ["-r", comfy_host.PACK / "requirements.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    if done.returncode and "ResolutionImpossible" not in done.stderr:
        pytest.skip(f"pip could not look up packages: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    planned = {entry["metadata"]["name"].lower().replace("_", "-") for entry in json.loads(done.stdout)["install"]}
    assert not planned & installed, "installing the pack would change these packages of the host"
