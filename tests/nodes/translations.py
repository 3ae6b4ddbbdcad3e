"""The nodes' names and texts as ComfyUI's page reads them: locales/<language>/nodeDefs.json, written from the nodes themselves.

English is what the nodes declare. Chinese comes from locales/zh/translations.json: ``names`` of inputs and outputs by their id (or by
``<node id>.<id>`` where it means something else in one node), ``texts`` by the English sentence, so that no sentence changes unseen.
"""

from __future__ import annotations

import json
from pathlib import Path

LOCALES = Path(__file__).absolute().parents[2] / "locales"
CHINESE = LOCALES / "zh" / "translations.json"
# The page reads translations as message patterns, in which these stand for something. It then shows the node's own text.
PATTERN = set("{}@|")


def english(schemas):
    """Returns {node id: names and texts} of schemas as declared."""
    return _translated(schemas, lambda node_id, name: name, lambda text: text)


def chinese(schemas):
    """Returns the same in Chinese; names and texts without a translation are left out."""
    known = json.loads(CHINESE.read_text(encoding="utf-8"))
    names, texts = known["names"], known["texts"]
    return _translated(schemas, lambda node_id, name: names.get(f"{node_id}.{name}", names.get(name)), texts.get)


def _translated(schemas, name_of, text_of):
    def socket(node_id, name, tooltip):
        return _shown(name=name_of(node_id, name), tooltip=text_of(tooltip))

    return {
        node_id: _shown(display_name=text_of(schema.display_name), description=text_of(schema.description))
        | {
            "inputs": {i.id: socket(node_id, i.id, i.options["tooltip"]) for i in schema.inputs},
            "outputs": {
                str(place): socket(node_id, o.options["display_name"], o.options["tooltip"]) for place, o in enumerate(schema.outputs)
            },
        }
        for node_id, schema in schemas.items()
    }


def _shown(**texts):
    return {key: text for key, text in texts.items() if text is not None and not PATTERN & set(text)}


def texts_of(schemas):
    """Returns every sentence and display name of the nodes, each once."""
    said = {}
    for schema in schemas.values():
        said |= dict.fromkeys([schema.display_name, schema.description])
        said |= dict.fromkeys(socket.options["tooltip"] for socket in [*schema.inputs, *schema.outputs])
    return list(said)


def dump(translated):
    return json.dumps(translated, ensure_ascii=False, indent=1) + "\n"


def write(schemas):
    """Writes both languages."""
    for language, translated in (("en", english(schemas)), ("zh", chinese(schemas))):
        (LOCALES / language).mkdir(parents=True, exist_ok=True)
        (LOCALES / language / "nodeDefs.json").write_text(dump(translated), encoding="utf-8")
