"""What one seed gives: imported by test_numbers.py, and run by it in a process of its own.

Argument: number of threads. Prints {what: digest} as JSON.
"""

import hashlib
import json
import sys

import torch

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.pose_prior.vposer import load_pose_prior
from contrapposto.models.render.camera import frame_figure
from contrapposto.models.render.engine import render_figure
from contrapposto.models.text_to_pose import load_text_to_pose, sample_poses

TEXT, SEED, COUNT, STEPS, SIDE = "a person kneels and raises the left arm", 7, 2, 4, 64


def load():
    """(text_to_pose, body, prior, avatar)."""
    return load_text_to_pose(), load_body_model(), load_pose_prior(), load_avatar()


def numbers(text_to_pose, body, prior, avatar):
    """{what: tensor}: sampled poses, their bodies, codes, an avatar and its picture."""
    pose = sample_poses(text_to_pose, TEXT, count=COUNT, seed=SEED, steps=STEPS, body=body)
    posed, avatar = pose_body(body, pose), retarget_pose(pose, body, avatar)
    render = render_figure(avatar, frame_figure(avatar, SIDE, SIDE), "avatar")
    return {"poses": pose.body_pose, "heights": pose.transl, "vertices": posed.vertices(), "codes": prior.encode(pose.body_pose).mean,
            "decoded": prior.decode(torch.randn(COUNT, prior.latent_size, generator=torch.Generator().manual_seed(SEED))),
            "avatar": avatar.T_driver, "picture": render.rgb, "depth": render.depth}


def digests(found):
    return {name: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:16] for name, value in found.items()}


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    with torch.no_grad():
        print(json.dumps(digests(numbers(*load()))))
