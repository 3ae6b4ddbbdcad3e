"""A real ComfyUI offers every node as promised in tests/nodes/object_info.json, and the languages we wrote."""

import json
import sys

import comfy_host
import pytest

sys.path.insert(0, str(comfy_host.PACK / "tests" / "nodes"))

import contract

SINCE = {"advanced": "0.9.2", "search_aliases": "0.10.0"}  # what an older ComfyUI does not send; it only decorates


@pytest.fixture(scope="module")
def offered(server):
    info = server.get_json("/object_info")
    names = {path.name for path in (server.base / "input").rglob("*")}
    return without_files({name: contract.of_object_info(node) for name, node in info.items() if name.startswith("Contrapposto")}, names)


def lacks(host):
    """Fields of the promise that this ComfyUI does not know."""
    version = [int(part) for part in host.version.split(".")]
    return {field for field, since in SINCE.items() if version < [int(part) for part in since.split(".")]}


def without(fields, value):
    """The promise without fields that a host does not send."""
    if isinstance(value, dict):
        return {key: without(fields, part) for key, part in value.items() if key not in fields}
    return [without(fields, part) for part in value] if isinstance(value, list) else value


def without_files(value, names):
    """What a host sends without the files that other tests have put into its input folder."""
    if isinstance(value, dict):
        return {key: without_files(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [without_files(part, names) for part in value if not (isinstance(part, str) and part.removesuffix(" [input]") in names)]
    return value


def test_object_info_is_as_promised(host, offered):
    promised = contract.read()
    in_list_order = {name: offered[name] for name in promised if name in offered} | offered  # hosts sort the nodes as they like
    changed = contract.differences(without(lacks(host), promised), in_list_order)
    assert not changed, "\n".join(changed) + f"\n{contract.REFRESH}"


def test_translations_are_served(server):
    served = server.get_json("/i18n")
    for language in ("en", "zh"):
        folder = comfy_host.PACK / "locales" / language
        texts = json.loads((folder / "nodeDefs.json").read_text(encoding="utf-8"))
        assert {node_id: served[language]["nodeDefs"][node_id] for node_id in texts} == texts
    assert served["zh"]["nodeCategories"]["pose correction"] == "姿态修正"


def test_blueprints_are_served_and_name_nodes_and_slots_that_exist(host, server):
    served = {entry["name"]: number for number, entry in server.get_json("/global_subgraphs").items()
              if entry["info"]["node_pack"] == f"custom_nodes.{comfy_host.PACK_FOLDER}"}
    assert set(served) == {path.stem for path in (comfy_host.PACK / "subgraphs").glob("*.json")}
    info = server.get_json("/object_info")
    for number in served.values():
        (inside,) = json.loads(server.get_json(f"/global_subgraphs/{number}")["data"])["definitions"]["subgraphs"]
        for node in inside["nodes"]:
            declared = info[node["type"]]["input"]
            assert {given["name"] for given in node["inputs"]} <= {*declared.get("required", {}), *declared.get("optional", {})}
            assert [made["name"] for made in node["outputs"]] == info[node["type"]]["output_name"]
