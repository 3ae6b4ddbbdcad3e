"""English and Chinese say the same, about every node, input and output."""

import json
import re

import fake_comfy
import pytest
import translations

REFRESH = "run python tests/nodes/refresh_contract.py"


@pytest.fixture(scope="module")
def schemas(tmp_path_factory):
    return fake_comfy.newest_declarations(tmp_path_factory.mktemp("translated"))[0]


@pytest.fixture(scope="module")
def chinese():
    return json.loads(translations.CHINESE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_files_are_as_the_nodes_declare(schemas, language):
    made = translations.english(schemas) if language == "en" else translations.chinese(schemas)
    written = (translations.LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8")
    assert json.loads(written) == made, REFRESH
    assert written == translations.dump(made), REFRESH


def test_every_name_and_text_has_a_chinese_one(schemas, chinese):
    missing = [text for text in translations.texts_of(schemas) if text not in chinese["texts"]]
    assert not missing, "locales/zh/translations.json lacks:\n" + "\n".join(missing)
    for node_id, node in translations.chinese(schemas).items():
        assert all("name" in socket for socket in [*node["inputs"].values(), *node["outputs"].values()]), node_id


def test_nothing_is_translated_that_no_node_says(schemas, chinese):
    assert set(chinese["texts"]) == set(translations.texts_of(schemas))
    sockets = [socket for schema in schemas.values() for socket in [*schema.inputs, *schema.outputs]]
    said = {socket.id or socket.options["display_name"] for socket in sockets}
    assert {key.partition(".")[2] or key for key in chinese["names"]} <= said


def test_numbers_and_file_types_survive_translation(chinese):
    number, suffix = r"\d+(?:\.\d+)?", r"\.[a-z]{3,11}\b"
    for text, translated in chinese["texts"].items():
        kept = set(re.findall(rf"(?<![\w.]){number}(?!\w)|{suffix}", text))
        assert kept <= set(re.findall(f"{number}|{suffix}", translated)), translated


def test_chinese_is_written_as_chinese_is(chinese):
    for text, translated in chinese["texts"].items():
        assert not re.search(r"[一-鿿][,:;?()]|[,:;?()][一-鿿]", translated), f"half-width punctuation: {translated}"
        assert not translations.PATTERN & set(translated), f"the page would read this as a pattern: {translated}"
        assert text.endswith(".") == translated.endswith("。"), translated


def test_chinese_display_names_are_unique(schemas, chinese):
    names = [chinese["texts"][schema.display_name] for schema in schemas.values()]
    assert len(set(names)) == len(names)


def test_every_step_of_the_menu_has_a_chinese_name(schemas):
    steps = {part for schema in schemas.values() for part in schema.category.split("/")}
    assert set(json.loads((translations.LOCALES / "zh" / "main.json").read_text(encoding="utf-8"))["nodeCategories"]) == steps
