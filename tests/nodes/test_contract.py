"""Nothing that saved workflows and API prompts name changes unseen; what is renamed keeps opening."""

import asyncio
import copy
import sys
from concurrent.futures import ThreadPoolExecutor

import contract
import fake_comfy
import pytest

REFRESH = f"\n{contract.REFRESH}"


@pytest.fixture(scope="module")
def newest(tmp_path_factory):
    """(schemas, replacements) as the newest ComfyUI sees them."""
    return fake_comfy.newest_declarations(tmp_path_factory.mktemp("newest"))


@pytest.fixture(scope="module")
def found(newest):
    return {node_id: contract.of_schema(schema) for node_id, schema in newest[0].items()}


@pytest.fixture
def promised():
    return contract.read()


def test_every_node_is_as_promised(promised, found):
    changed = contract.differences(promised, found)
    assert not changed, "\n".join(changed) + REFRESH


def test_the_file_is_as_the_refresh_writes_it(promised):
    assert contract.SNAPSHOT.read_text(encoding="utf-8") == contract.dump(promised), REFRESH


CHANGES = {
    "a default": (lambda n: n["inputs"]["count"].update(default=2), "ContrappostoTextToPose.inputs.count.default was 1, is 2"),
    "a range": (lambda n: n["inputs"]["count"].pop("max"), "ContrappostoTextToPose.inputs.count.max is gone (it was 256)"),
    "an int that becomes a float": (lambda n: n["inputs"]["count"].update(min=1.0), "inputs.count.min was 1, is 1.0"),
    "a choice": (lambda n: n["inputs"]["keep_parts"]["options"].remove("legs"), "inputs.keep_parts.options was"),
    "a socket's type": (lambda n: n["outputs"][0].update(type="POSE"), 'outputs.0.type was "BODY_POSE", is "POSE"'),
    "a new input": (lambda n: n["inputs"].update(x={"type": "INT"}), 'inputs.x is new: {"type": "INT"}'),
    "the order": (lambda n: n["inputs"].update(text_to_pose=n["inputs"].pop("text_to_pose")), "inputs is in another order: text, count"),
    "a flag": (lambda n: n.update(output_node=True), "ContrappostoTextToPose.output_node is new: true"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(promised, change):
    edit, sentence = CHANGES[change]
    found = copy.deepcopy(promised)
    edit(found["ContrappostoTextToPose"])
    (said,) = contract.differences(promised, found)
    assert sentence in said


def test_nothing_that_workflows_name_is_gone(promised, found, newest):
    broken = contract.broken_promises(promised, found, {old["old_node_id"] for old in newest[1]})
    assert not broken, "\n".join(broken)


def test_a_node_or_input_may_not_vanish_without_a_successor(promised):
    found = copy.deepcopy(promised)
    del found["ContrappostoDoctor"], found["ContrappostoTextToPose"]["inputs"]["seed"]
    said = contract.broken_promises(promised, found, set())
    assert [line.split(" is gone")[0] for line in said] == ["ContrappostoDoctor", "ContrappostoTextToPose.seed"]
    assert len(contract.broken_promises(promised, found, {"ContrappostoDoctor"})) == 1


def test_replacements_lead_to_nodes_and_inputs_that_exist(promised, newest):
    for old in newest[1]:
        assert old["old_node_id"] not in promised
        node = promised[old["new_node_id"]]
        assert {given["new_id"] for given in old.get("input_mapping", ())} <= set(node["inputs"])
        assert all(given["new_idx"] < len(node["outputs"]) for given in old.get("output_mapping", ()))


def test_replacements_are_registered_where_comfyui_has_them(pack, monkeypatch):
    registered = []

    class Api:
        class node_replacement:
            async def register(replacement):
                registered.append(replacement)

    extension = sys.modules[pack["ContrappostoDoctor"].__module__.rpartition(".")[0] + ".extension"]
    monkeypatch.setattr(sys.modules["comfy_api.v0_0_2"], "ComfyAPI", Api, raising=False)
    monkeypatch.setattr(sys.modules["comfy_api.v0_0_2"].io, "NodeReplace", dict, raising=False)
    renamed = [{"old_node_id": "ContrappostoOld", "new_node_id": "ContrappostoDoctor"}]
    monkeypatch.setattr(extension.replacements, "REPLACEMENTS", renamed)
    ThreadPoolExecutor(1).submit(asyncio.run, extension.ContrappostoExtension().on_load()).result()
    assert registered == renamed
