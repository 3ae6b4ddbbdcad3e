"""A real ComfyUI takes the pack in: no failed import, all nodes known, pages and templates served, nothing heavy."""

import json
import subprocess

import comfy_host
import pytest

OURS = "Contrapposto"
NODES = {page.stem for page in (comfy_host.PACK / "web" / "docs").glob("*.md")}  # tests/nodes holds them to the list
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

# The same for ComfyUI's CLIP class, with a CLIP-L of two small layers and random weights.
CLIP_PROBE = """
import torch, comfy.sd, comfy.sd1_clip, comfy.supported_models_base
tiny = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 128}
target = comfy.supported_models_base.ClipTarget(comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel)
options = {"clip_l_model_config": tiny}
clip = comfy.sd.CLIP(target, embedding_directory=None, parameters=4_000_000, model_options=options)
for weight in clip.cond_stage_model.parameters():
    torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
clip_text_states = sys.modules[folders[0].replace(".", "_x_") + ".nodes.host"].clip_text_states
states = clip_text_states(clip, "a person doing a handstand")
skipping = clip.clone()
skipping.clip_layer(-2)
print("\\n" + json.dumps({
    "shape": list(states.tokens.shape),
    "tokens": int(states.mask.sum()),
    "pooled_is_last_token": torch.allclose(states.tokens[0, int(states.mask.sum()) - 1], states.pooled[0], atol=1e-5),
    "skip_ignored": torch.equal(states.tokens, clip_text_states(skipping, "a person doing a handstand").tokens),
    "long": int(clip_text_states(clip, "word " * 200).mask.sum()),
}))
"""


@pytest.fixture(scope="module")
def info(server):
    return {name: node for name, node in server.get_json("/object_info").items() if name.startswith(OURS)}


def test_log_shows_no_failed_import(server):
    log = server.boot_log
    assert comfy_host.PACK_FOLDER in log
    for trouble in ("IMPORT FAILED", "Cannot import", "Error while calling comfy_entrypoint", "Traceback"):
        assert trouble not in log, log[-4000:]


def test_every_node_is_offered(info):
    assert set(info) == NODES
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


@pytest.fixture(scope="module")
def probed(host, tmp_path_factory):
    """What the two probes reported, in one process of the host."""
    custom_nodes = tmp_path_factory.mktemp("custom_nodes")
    folders = [custom_nodes / "ComfyUI-Contrapposto", custom_nodes / "my nodes (copy)"]
    for folder in folders:
        folder.symlink_to(comfy_host.PACK, target_is_directory=True)
    command = [host.python, "-c", PROBE + CLIP_PROBE, host.root, *folders]
    done = subprocess.run(command, capture_output=True, text=True, env=host.environment(), timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    registered, clip = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return registered, clip


def test_loads_from_awkward_folders_without_heavy_modules(probed):
    registered, _ = probed
    assert registered["loaded"] == [True, True]
    assert set(registered["nodes"]) == NODES
    assert registered["untouched"]
    assert not HEAVY & set(registered["added"])


def test_comfyuis_clip_gives_the_states_that_pose_weights_are_trained_on(probed):
    _, clip = probed
    assert clip == {"shape": [1, 77, 64], "tokens": 8, "pooled_is_last_token": True, "skip_ignored": True, "long": 77}


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
