"""Blueprints say what the example workflows say, and every slot and link in them is there."""

import importlib
import json

import contract
import fake_comfy
import pytest

SUBGRAPHS = fake_comfy.PACK / "subgraphs"
FILES = sorted(SUBGRAPHS.glob("*.json"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def blueprint(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture
def inside(blueprint):
    """The one subgraph of a blueprint."""
    (subgraph,) = blueprint["definitions"]["subgraphs"]
    return subgraph


def test_files_are_as_the_example_workflows_make_them(monkeypatch):
    monkeypatch.syspath_prepend(fake_comfy.PACK / "scripts")
    build = importlib.import_module("build_blueprints")
    assert {path.stem for path in FILES} == {made.name for made in build.BLUEPRINTS}
    for made in build.BLUEPRINTS:
        written = (SUBGRAPHS / f"{made.name}.json").read_text(encoding="utf-8")
        assert written == build.dump(made), "run python scripts/build_blueprints.py"


def test_every_link_joins_two_slots_of_its_type(inside):
    nodes = {node["id"]: node for node in inside["nodes"]}
    for link in inside["links"]:
        sources = inside["inputs"] if link["origin_id"] == -10 else nodes[link["origin_id"]]["outputs"]
        targets = inside["outputs"] if link["target_id"] == -20 else nodes[link["target_id"]]["inputs"]
        source, target = sources[link["origin_slot"]], targets[link["target_slot"]]
        assert link["id"] in (source.get("linkIds") or source.get("links"))
        assert link["id"] == target.get("link") or link["id"] in target.get("linkIds", ())
        assert link["type"] in target["type"].split(",") or target["type"] in link["type"].split(","), (source, target)


def test_no_slot_names_a_link_that_is_not_there(inside):
    known = {link["id"] for link in inside["links"]}
    assert len(known) == len(inside["links"])
    for node in inside["nodes"]:
        assert {given["link"] for given in node["inputs"]} - {None} <= known
        assert {link for made in node["outputs"] for link in made["links"]} <= known


def test_slots_of_our_nodes_are_as_promised(inside):
    promised = contract.read()
    for node in inside["nodes"]:
        if node["type"].startswith("Contrapposto"):
            declared = promised[node["type"]]
            assert {given["name"] for given in node["inputs"]} <= set(declared["inputs"])
            assert [made["name"] for made in node["outputs"]] == [made["name"] for made in declared["outputs"]]


def test_the_node_shows_the_subgraphs_slots(blueprint, inside):
    (node,) = blueprint["nodes"]
    assert node["type"] == inside["id"]
    for side in ("inputs", "outputs"):
        assert [(slot["name"], slot["type"]) for slot in node[side]] == [(slot["name"], slot["type"]) for slot in inside[side]]
    assert len({slot["name"] for slot in node["inputs"]}) == len(node["inputs"])


def test_what_one_widget_sets_had_one_value_before(inside):
    """A shared widget must not change what the example does."""
    nodes = {node["id"]: node for node in inside["nodes"]}
    for shared in inside["inputs"]:
        values = {json.dumps(widget_value(nodes[link["target_id"]], link["target_slot"])) for link in inside["links"]
                  if link["id"] in shared["linkIds"] and "widget" in nodes[link["target_id"]]["inputs"][link["target_slot"]]}
        assert len(values) <= 1, shared["name"]


def widget_value(node, slot):
    """The saved value of a widget: values lie in the order of the widgets, with one more behind each seed."""
    widgets = [given["name"] for given in node["inputs"] if "widget" in given]
    places, place = {}, 0
    for name in widgets:
        places[name] = place
        place += 2 if name == "seed" else 1
    return float(node["widgets_values"][places[node["inputs"][slot]["name"]]]) if node["inputs"][slot]["type"] in ("INT", "FLOAT") else None
