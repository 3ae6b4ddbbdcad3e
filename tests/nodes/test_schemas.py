"""What users see of each node before they run it: names, tooltips, ranges, help pages."""

import re

import fake_comfy
import pytest

RANGED = ("INT", "FLOAT")
STEPS = {"pose", "avatar", "render", "personalization", "pose correction", "dancing avatar", "parts to whole", "motion", "help"}


@pytest.fixture
def schemas(pack):
    return {node_id: node.define_schema() for node_id, node in pack.items()}


def test_names_and_categories(schemas):
    for node_id, schema in schemas.items():
        assert re.fullmatch(r"Contrapposto([A-Z][A-Za-z0-9]+)+", node_id)
        pack, step = schema.category.split("/")
        assert pack == "contrapposto" and step in STEPS
        assert schema.display_name and schema.description.endswith(".")


def test_display_names_are_unique(schemas):
    names = [schema.display_name for schema in schemas.values()]
    assert len(set(names)) == len(names)


def test_every_socket_has_a_tooltip(schemas):
    for node_id, schema in schemas.items():
        for socket in [*schema.inputs, *schema.outputs]:
            name = f"{node_id}.{socket.id or socket.options['display_name']}"
            assert socket.options.get("tooltip", "").endswith("."), name


def test_numbers_have_a_range_that_holds_their_default(schemas):
    for node_id, schema in schemas.items():
        for given in (i for i in schema.inputs if i.io_type in RANGED):
            low, default, high = (given.options[key] for key in ("min", "default", "max"))
            assert low <= default <= high, f"{node_id}.{given.id}"


def test_every_seed_offers_control_after_generate(schemas):
    seeds = [given for schema in schemas.values() for given in schema.inputs if given.id == "seed"]
    assert len(seeds) >= 4
    assert all(seed.options["control_after_generate"] and seed.options["max"] == 2**64 - 1 for seed in seeds)


def test_masks_state_their_polarity(schemas):
    for schema in schemas.values():
        for socket in [*schema.inputs, *schema.outputs]:
            if socket.io_type == "MASK":
                assert re.match(r"1 where .*, 0 elsewhere", socket.options["tooltip"])


def test_file_lists_begin_with_the_bundled_default(schemas):
    nothing_bundled = {"ContrappostoLoadPersonalizationPatch", "ContrappostoLoadParts2Whole"}  # trained by nobody yet, or by others
    loaders = set(schemas) - nothing_bundled
    files = [given for name in loaders for given in schemas[name].inputs if given.id == "file"]
    assert len(files) == 4
    assert all(given.options["options"][0].endswith(" (bundled)") for given in files)


def test_every_node_has_a_help_page_that_names_its_sockets(schemas):
    for node_id, schema in schemas.items():
        page = (fake_comfy.PACK / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
        assert page.startswith(f"# {schema.display_name}\n")
        named = set(re.findall(r"^\| (\w+) \|", page, re.MULTILINE)) - {"name"}
        expected = {i.id for i in schema.inputs} | {o.options["display_name"] for o in schema.outputs}
        assert named == expected, node_id


def test_no_help_page_without_a_node(schemas):
    assert {page.stem for page in (fake_comfy.PACK / "web" / "docs").glob("*.md")} == set(schemas)
