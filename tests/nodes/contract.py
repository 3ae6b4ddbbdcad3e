"""What saved workflows, API clients and other packs hold on to: ids, names, types, ranges, order. Texts are not part of it.

``object_info.json`` beside this file is the promise. tests/nodes compare it with what the nodes declare, tests/host with what
a real ComfyUI offers. After a wanted change, look at the difference that this makes:

python tests/nodes/refresh_contract.py
"""

from __future__ import annotations

import json
from pathlib import Path

SNAPSHOT = Path(__file__).parent / "object_info.json"
REFRESH = "If the change is wanted: python tests/nodes/refresh_contract.py, read the git diff, and write a line into CHANGELOG.md."
# Options as the nodes spell them -> as ComfyUI sends them to the browser.
SENT_AS = {"force_input": "forceInput", "widget_type": "widgetType", "display_mode": "display"}
TEXTS = {"tooltip", "optional", "display_name"}
# Lists that grow with ComfyUI itself.
HOSTS_OWN = {"sampler_name": "ComfyUI's samplers", "scheduler": "ComfyUI's schedulers"}


def of_schema(schema):
    """Returns the contract of a declared node (fake_comfy's Schema)."""
    inputs = sorted(schema.inputs, key=lambda given: bool(given.options.get("optional")))  # the order that ComfyUI sends
    return _contract(
        schema.display_name,
        schema.category,
        schema.is_output_node,
        schema.search_aliases,
        {i.id: _input(i.id, _io_type(i), bool(i.options.get("optional")), _as_sent(i)) for i in inputs},
        [{"name": o.options["display_name"], "type": o.io_type} | _is_list(o.options.get("is_output_list")) for o in schema.outputs],
    )


def of_object_info(info):
    """Returns the contract of a node as a real ComfyUI's /object_info tells it."""
    inputs = {}
    for section in ("required", "optional"):
        for name, (kind, *options) in info["input"].get(section, {}).items():
            inputs[name] = _input(name, kind, section == "optional", options[0] if options else {})
    names = zip(info["output_name"], info["output"], info["output_is_list"])
    outputs = [{"name": name, "type": kind} | _is_list(is_list) for name, kind, is_list in names]
    return _contract(info["display_name"], info["category"], info["output_node"], info.get("search_aliases"), inputs, outputs)


def _contract(display_name, category, output_node, search_aliases, inputs, outputs):
    flags = {"output_node": True} if output_node else {}
    aliases = {"search_aliases": list(search_aliases)} if search_aliases else {}
    return {"display_name": display_name, "category": category} | flags | aliases | {"inputs": inputs, "outputs": outputs}


def _io_type(given):
    types = given.options.get("types")
    return ",".join(kind.io_type for kind in types) if types else getattr(given, "widget_type", given.io_type)


def _as_sent(given):
    options = {SENT_AS.get(name, name): value for name, value in given.options.items() if name != "types"}
    drawn_by = {"widgetType": given.widget_type} if hasattr(given, "widget_type") else {}
    return options | given.extra_dict | drawn_by


def _input(name, kind, optional, options):
    kept = {key: value for key, value in sorted(options.items()) if key not in TEXTS and value is not None and value is not False}
    if options.get("default") is False:
        kept["default"] = False
    if name in HOSTS_OWN:
        kept["options"] = HOSTS_OWN[name]
    return {"type": kind} | ({"optional": True} if optional else {}) | kept


def _is_list(flag):
    return {"is_list": True} if flag else {}


def read():
    """Returns {node id: contract} as promised."""
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def dump(contracts):
    """Returns the file's text: a line for each input and output, so that a difference is one line."""
    return "{\n" + ",\n".join(f' "{node_id}": {{\n{_node_lines(node)}\n }}' for node_id, node in contracts.items()) + "\n}\n"


def _node_lines(node):
    lines = [f'  "{key}": {_line(value)}' for key, value in node.items() if key not in ("inputs", "outputs")]
    inputs = ",\n".join(f'   "{name}": {_line(given)}' for name, given in node["inputs"].items())
    outputs = ",\n".join(f"   {_line(given)}" for given in node["outputs"])
    lines += [f'  "inputs": {{\n{inputs}\n  }}' if inputs else '  "inputs": {}']
    lines += [f'  "outputs": [\n{outputs}\n  ]' if outputs else '  "outputs": []']
    return ",\n".join(lines)


def _line(value):
    return json.dumps(value, ensure_ascii=False)


def differences(promised, found, where=""):
    """Returns a sentence per field that is not as promised; order counts."""
    if isinstance(promised, dict) and isinstance(found, dict):
        said = [f"{where}{key} is gone (it was {_short(promised[key])})" for key in promised if key not in found]
        said += [f"{where}{key} is new: {_short(found[key])}" for key in found if key not in promised]
        common = [key for key in promised if key in found]
        if [key for key in found if key in promised] != common:
            said.append(f"{where.rstrip('.') or 'the list of nodes'} is in another order: {', '.join(found)}")
        return said + [line for key in common for line in differences(promised[key], found[key], f"{where}{key}.")]
    if isinstance(promised, list) and isinstance(found, list) and promised and isinstance(promised[0], dict):
        return differences(dict(enumerate(promised)), dict(enumerate(found)), where)
    # 1 and 1.0 are one JSON number to a browser, but another type of widget; True is no number at all
    same = promised == found and type(promised) is type(found)
    return [] if same else [f"{where.rstrip('.')} was {_short(promised)}, is {_short(found)}"]


def _short(value):
    text = _line(value)
    return text if len(text) < 200 else text[:200] + " ..."


def broken_promises(promised, found, replaced):
    """Returns a sentence per node or input that saved workflows name and nothing stands for any more.

    Args:
        promised, found: {node id: contract}. replaced: ids that nodes/replacements.py leads to another node.
    """
    said = [f"{node_id} is gone: saved workflows hold it. Register its successor in nodes/replacements.py."
            for node_id in promised if node_id not in found and node_id not in replaced]
    for node_id in promised.keys() & found.keys():
        lost = [name for name in promised[node_id]["inputs"] if name not in found[node_id]["inputs"]]
        said += [f"{node_id}.{name} is gone: API prompts name it. Keep it, or make a new node and a replacement." for name in lost]
    return said
