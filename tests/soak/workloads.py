"""The prompts of the soak: every example workflow that runs here, small, and the nodes that write files; no two alike."""

from __future__ import annotations

import json

import comfy_host

TWINS = comfy_host.PACK / "example_workflows" / "api"
C = "Contrapposto"
TEXTS = (
    "a person waves with the right hand", "kneeling on the left knee", "a yoga tree pose", "a person does a handstand",
    "sitting cross-legged", "jumping with both arms raised", "a fencer lunges", "somebody ties a shoe",
    "dancing with bent knees", "a person throws a ball",
)
SIDES = (64, 96, 128)
POSES, PRIOR, AVATAR = "open text-to-pose (bundled)", "open pose prior (bundled)", "default avatar (bundled)"
EDIT = {"between": 0.3, "hold": 0.05, "start": 0, "end": 0, "blend": 2, "speed": 1.0, "fps": 12.0, "smooth": 0.0, "mirror": False,
        "loop": 0, "floor": "each frame"}
LOOP = {"steps": 2, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras", "pose_strength": 1.0, "previous_frame_strength": 0.7,
        "previous_frame_end": 1.0, "reanchor_every": 0, "colour_hold": 0.0, "mask_dilation": 6, "feather": 3, "fps": 24.0, "cache_gb": 4.0}


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def ours(kind, **inputs):
    return node(C + kind, **inputs)


def find(prompt, kind):
    return [key for key, entry in prompt.items() if entry["class_type"] in (kind, C + kind)]


def twin(name, rng):
    """An API twin with a random text, seed and small size."""
    prompt, side = json.loads((TWINS / f"{name}.json").read_text()), rng.choice(SIDES)
    for entry in prompt.values():
        inputs = entry["inputs"]
        inputs |= {key: side for key in ("width", "height") if isinstance(inputs.get(key), int)}
        inputs |= {key: rng.randrange(2**32) for key in ("seed", "noise_seed") if isinstance(inputs.get(key), int)}
        inputs |= {"count": rng.randint(1, 3)} if "count" in inputs else {}
        inputs |= {"text": rng.choice(TEXTS)} if entry["class_type"] == C + "TextToPose" else {}
        inputs |= {"steps": 1} if entry["class_type"] == "KSampler" else {}
    for key in find(prompt, "EditMotion")[-1:]:
        prompt[key]["inputs"] |= {"between": 0.2, "hold": 0.05, "fps": 12, "loop": 0}
    return prompt


def pairs(rng):
    prompt = twin("text_to_pairs", rng)
    prompt[find(prompt, "SaveImageMeshPairs")[0]]["inputs"] |= {"meshes": rng.choice(("none", "ply")), "spin_layout": rng.random() < 0.5,
                                                                 "vertices": rng.random() < 0.5}
    return prompt


def film(rng):
    """The dance over a photograph, made small, in memory or as a file."""
    prompt = twin("avatar_dance_over_photo", rng)
    (photo,), (video,) = find(prompt, "LoadImage"), find(prompt, "AvatarVideo")
    prompt["small"] = node("ImageScale", image=[photo, 0], upscale_method="bilinear", width=192, height=192, crop="center")
    for inputs in (entry["inputs"] for entry in prompt.values()):
        inputs |= {key: ["small", 0] for key, value in inputs.items() if value == [photo, 0] and key != "image"}
    prompt[video]["inputs"]["output"] = rng.choice(("images", "video file"))
    return prompt


def motion(rng):
    """Key poses -> motion -> the three file formats, on the avatar and without."""
    prompt = {
        "prior": ours("LoadPosePrior", file=PRIOR),
        "keys": ours("DecodeVPoser", pose_prior=["prior", 0], count=2, seed=rng.randrange(2**32)),
        "motion": ours("EditMotion", body_pose=["keys", 0], **EDIT),
        "avatar": ours("LoadAvatar", file=AVATAR),
        "posed": ours("RetargetPose", body_pose=["motion", 0], avatar=["avatar", 0]),
        "solid": ours("AvatarTo3D", posed_avatar=["posed", 0], fps=12.0, filename_prefix="3d/avatar"),
        "shown": node("PreviewAny", source=["solid", 2]),
    }
    for name, kind in (("glb", "GLB (animated)"), ("bvh", "BVH"), ("npz", "NPZ (AMASS)")):
        prompt[name] = ours("SaveMotion", body_pose=["motion", 0], format=kind, filename_prefix=f"motion/{name}")
    return prompt


def frame_loop(rng):
    """A frame loop over models of a few hundred thousand random weights (tiny_nodes)."""
    return {
        "model": node("TinyModel", in_channels=4, seed=rng.randrange(3)), "text": node("TinyText", seed=1),
        "none": node("TinyText", seed=2),
        "dance": node("TinyDance", frames=rng.randint(2, 4), size=64, edited=-1),
        "pose net": node("TinyControlNet", hint_channels=3, text_width=64, seed=3),
        "previous net": node("TinyControlNet", hint_channels=3, text_width=64, seed=4),
        "loop": ours("DancingAvatarFrameLoop", model=["model", 0], vae=["model", 1], positive=["text", 0], negative=["none", 0],
                     pose_maps=["dance", 0], plate=["dance", 1], masks=["dance", 2], pose_control_net=["pose net", 0],
                     previous_frame_control_net=["previous net", 0], output=rng.choice(("images", "video file")),
                     seed=rng.randrange(2**32), **LOOP),
        "shown": node("PreviewImage", images=["loop", 0]),
    }


def appearance(rng, steps=3):
    """A LoRA trained for a few steps on the tiny model, whose layers have the names of SD1.5."""
    return {
        "model": node("TinyModel", in_channels=4, seed=rng.randrange(3)), "text": node("TinyText", seed=rng.randrange(2**32)),
        "dance": node("TinyDance", frames=2, size=64, edited=-1),
        "trained": ours("TrainAppearanceModule", model=["model", 0], vae=["model", 1], positive=["text", 0], images=["dance", 0],
                        part="whole picture", steps=steps, rank=2, learning_rate=0.01, size=64, seed=rng.randrange(2**32), strength=1.0,
                        filename_prefix="soak/clothes"),
    }


def scene(rng):
    """A scene through checkpoint, CLIP and VAE files of random weights."""
    return twin("scene_sd15_inpainting", rng)


# Prompt -> how often, relative to the others.
MIX = {
    "text_to_avatar": (lambda rng: twin("text_to_avatar", rng), 4),
    "augment_poses": (lambda rng: twin("augment_poses", rng), 4),
    "natural_poses": (lambda rng: twin("natural_poses", rng), 3),
    "pose_editor": (lambda rng: twin("pose_editor", rng), 4),
    "scene_over_photo": (lambda rng: twin("scene_over_photo", rng), 2),
    "avatar_dance": (lambda rng: twin("avatar_dance", rng), 3),
    "text_to_pairs": (pairs, 4),
    "avatar_dance_over_photo": (film, 2),
    "motion_files": (motion, 4),
    "frame_loop": (frame_loop, 5),
    "appearance_module": (appearance, 4),
    "scene_sd15_inpainting": (scene, 0.5),
}


def draw(rng):
    """Returns (name, prompt) of a random workload."""
    names = list(MIX)
    (name,) = rng.choices(names, [MIX[name][1] for name in names])
    return name, MIX[name][0](rng)
