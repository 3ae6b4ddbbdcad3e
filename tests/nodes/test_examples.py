"""The example workflows use nodes and inputs that exist, and their API twins say the same."""

import json

import fake_comfy
import pytest

EXAMPLES = fake_comfy.PACK / "example_workflows"
WORKFLOWS = sorted(EXAMPLES.glob("*.json"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return request.param


def test_has_a_thumbnail_and_an_api_twin(workflow):
    assert workflow.with_suffix(".jpg").stat().st_size > 5_000
    assert (EXAMPLES / "api" / workflow.name).is_file()


def test_twin_has_the_same_nodes(workflow):
    shown = {str(n["id"]): n["type"] for n in json.loads(workflow.read_text())["nodes"] if "Note" not in n["type"]}
    queued = {key: n["class_type"] for key, n in json.loads((EXAMPLES / "api" / workflow.name).read_text()).items()}
    assert shown == queued


def test_inputs_exist_and_required_ones_are_given(workflow, pack):
    for node in json.loads((EXAMPLES / "api" / workflow.name).read_text()).values():
        if node["class_type"].startswith("Contrapposto"):
            declared = pack[node["class_type"]].define_schema().inputs
            assert set(node["inputs"]) <= {i.id for i in declared}
            assert {i.id for i in declared if not i.options.get("optional")} <= set(node["inputs"])


def test_no_workflow_names_a_file_of_the_authors(workflow):
    for path in (workflow, EXAMPLES / "api" / workflow.name):
        assert "/home/" not in path.read_text() and "\\\\" not in path.read_text()


def test_the_folder_holds_nothing_else_that_comfyui_would_list():
    assert all("nodes" in json.loads(path.read_text()) for path in EXAMPLES.glob("*.json"))
