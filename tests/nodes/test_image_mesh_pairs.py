"""Save Image-Mesh Pairs and Depth-to-Image Conditioning over the stand-in for ComfyUI."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from contrapposto.models.pose_correction.shards import finished_shards, read_shard

SIDE = 64


def people(pack, rows, frame_index=None, person_index=None):
    """Rest poses as the pack's own BodyPose, and a camera that sees them."""
    types, camera, body = (_module(pack, f"models.{name}") for name in ("types", "render.camera", "bodies.body"))
    eye = torch.eye(3)
    pose = types.BodyPose(eye.expand(rows, 3, 3), eye.expand(rows, 21, 3, 3), frame_index=frame_index, person_index=person_index)
    return pose, camera.frame_figure(body.pose_body(body.load_body_model(), pose), SIDE, SIDE)


def _module(pack, name):
    import sys

    return sys.modules[pack["ContrappostoSaveImageMeshPairs"].__module__.removesuffix("nodes.image_mesh_pairs") + name]


def save(execute, image, pose, camera, **inputs):
    return Path(execute("SaveImageMeshPairs", image=image, body_pose=pose, camera=camera, **inputs)[0])


def test_rows_become_samples(execute, pack):
    pose, camera = people(pack, 2)
    path = save(execute, torch.rand(2, SIDE, SIDE, 3), pose, camera, prompt="two people", image_seed=9, meshes="glb")
    pairs = list(read_shard(path, verify=True))
    assert [pair.about["prompt"] for pair in pairs] == ["two people"] * 2 and pairs[0].about["seed"] == 9
    assert path in finished_shards(path.parent)
    assert sorted(mesh.stem for mesh in path.with_name(f"{path.stem}meshes").iterdir()) == sorted(pair.id for pair in pairs)


def test_two_people_share_a_picture(execute, pack):
    pose, camera = people(pack, 3, torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    images = torch.stack([torch.full((SIDE, SIDE, 3), shade) for shade in (0.2, 0.8)])
    pairs = list(read_shard(save(execute, images, pose, camera, mask=torch.ones(2, SIDE, SIDE))))
    assert [round(pair.image.float().mean().item() / 255, 1) for pair in pairs] == [0.2, 0.2, 0.8]


def test_mistakes_leave_nothing_behind(execute, pack, tmp_path):
    pose, camera = people(pack, 2)
    for image, more, said in ((torch.rand(3, SIDE, SIDE, 3), {}, "do not fit 3 pictures"), (torch.rand(2, SIDE, 32, 3), {}, "32 x 64"),
                              (torch.rand(2, SIDE, SIDE, 3), {"mask": torch.ones(2, 8, 8)}, "mask")):
        with pytest.raises(ValueError, match=said):
            save(execute, image, pose, camera, filename_prefix="broken/x", **more)
    assert not list(tmp_path.glob("broken/*"))


@pytest.mark.parametrize("change, said", [
    ({"control_net": None}, "does not read depth"), ({"negative": None}, "neither is clip"), ({"preset": "released"}, "is needed by"),
])
def test_depth_to_image_names_what_lacks(execute, change, said):
    flat = SimpleNamespace(latent_dimensions=2)
    network = SimpleNamespace(diffusion_model=SimpleNamespace(), latent_format=flat, model_config=SimpleNamespace(unet_config={}))
    given = {"model": SimpleNamespace(model=network), "positive": [], "negative": [], "vae": None, "image": torch.rand(1, 64, 64, 3),
             "depth": torch.rand(1, 64, 64, 3), "control_net": SimpleNamespace(control_model=None)}
    with pytest.raises(ValueError, match=said):
        execute("DepthToImage", **(given | change))
