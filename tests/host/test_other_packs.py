"""Our nodes beside a pack with bad manners (hostile_nodes): they run, and their pictures are the same to the last bit."""

import json

import comfy_host
import numpy as np
import pytest
import test_dancing_avatar

pytestmark = pytest.mark.slow
HOSTILE = comfy_host.PACK / "tests" / "host" / "hostile_nodes"
PICTURES = ("text_to_avatar", "natural_poses")
WRAPPED = {"upset", "get_output_data", "send_sync", "get_torch_device", "calc_cond_batch", "sampling_function", "get_filename_list"}


class Beside(comfy_host.ComfyServer):
    packs = (comfy_host.TEST_NODES, HOSTILE)
    folders = ("zz-Contrapposto",)  # after the other pack, which meets a ComfyUI that nobody has touched yet


@pytest.fixture(scope="module")
def beside(host):
    server = Beside(host)
    yield server
    server.stop()


def prompt_of(name):
    """The API twin of a workflow that needs no checkpoint."""
    return json.loads((comfy_host.PACK / "example_workflows" / "api" / f"{name}.json").read_text())


def pictures(server, prompt):
    """All pictures that a prompt shows, by node."""
    run = server.run(prompt)
    assert run.succeeded, run.error["exception_message"] + "".join(run.error["traceback"][-3:])
    shown = {node: run.images(node) for node in prompt}
    return {node: np.stack([server.picture(image) for image in images]) for node, images in shown.items() if images}


def test_the_log_shows_no_failed_import(beside):
    assert "IMPORT FAILED" not in beside.boot_log, beside.boot_log[-4000:]


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_the_same(server, beside, name):
    expected, found = pictures(server, prompt_of(name)), pictures(beside, prompt_of(name))
    assert expected and set(expected) == set(found)
    for node, picture in expected.items():
        np.testing.assert_array_equal(picture, found[node], err_msg=node)


def test_frames_painted_by_a_model_are_the_same(server, beside):
    (expected, _), (found, _) = (test_dancing_avatar.frames_of(each, test_dancing_avatar.dance()) for each in (server, beside))
    np.testing.assert_array_equal(expected, found)


def test_the_other_pack_was_there(beside):
    assert "ContrappostoLoadAvatar" in beside.get_json("/object_info")  # the lists of files in the nodes' drop-downs are made now
    run = beside.run({"hits": {"class_type": "HostileHits", "inputs": {"after": 1}}})
    assert set(run.entry["outputs"]["hits"]["text"]) >= WRAPPED
