"""Parts2Whole: face from one picture, hair from another, clothes from a third, one person in a given pose."""

from __future__ import annotations

import logging
from dataclasses import replace

import torch
from comfy_api.v0_0_2 import io

from ..models.checks import InputError
from ..models.motion.openpose import pose_keypoint_to_keypoints
from ..models.parts_to_whole.crop import align_face, crop_to_mask
from ..models.parts_to_whole.parts import LABELS, PAD, STRETCH, acting, make_reference
from . import convert, host, parts_loading, sockets
from .parts_patches import ReferenceRun
from .sockets import declare

CATEGORY = "contrapposto/parts to whole"
WHOLE, MASK, FACE = "whole picture", "the mask", "face, eyes level"
VISION_REMEDY = "Load the released image_encoder, a CLIP ViT-L/14 with projection, with Load CLIP Vision."


class LoadPartsToWhole(io.ComfyNode):
    """The released weights."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoLoadParts2Whole",
            display_name="Load Parts2Whole",
            category=CATEGORY,
            description="Loads the denoiser of Parts2Whole as a MODEL, and everything else of it. VAE, CLIP and CLIP Vision are loaded "
            "with ComfyUI's own nodes.",
            search_aliases=["reference", "virtual try-on", "outfit", "identity", "multi reference"],
            inputs=[
                io.Combo.Input("file", options=parts_loading.choices(), tooltip="The released folder (with unet, reference_unet, "
                               "pose_guider, decoupled_attn.pth) or a converted .safetensors in ComfyUI/models/parts_to_whole."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The denoiser with its own noise schedule. LoRAs may follow."),
                sockets.PartsToWhole.Output(display_name="parts2whole", tooltip="For Apply Parts2Whole."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file):
        if file is None or file in parts_loading.choices():
            return True
        places = ", ".join(str(path) for path in parts_loading.search.search_paths(parts_loading.KIND))
        return str(InputError("file", file, "was not found", f"Put it into one of: {places}."))

    @classmethod
    def fingerprint_inputs(cls, file):
        try:
            path = parts_loading.choice_to_path(file)
        except InputError:
            return "missing"
        return max(entry.stat().st_mtime_ns for entry in (path, *path.glob("*/*")))

    @classmethod
    def execute(cls, file):
        return io.NodeOutput(*parts_loading.load_parts(parts_loading.choice_to_path(file)))


class ReferencePart(io.ComfyNode):
    """One picture of one part."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoReferencePart",
            display_name="Reference Part",
            category=CATEGORY,
            description="Says which part of a person a picture shows. Chain one node per part, up to six pictures in all; a batch is "
            "several pictures of one part. A rendered avatar is a good whole-body reference.",
            search_aliases=["face reference", "clothes reference", "outfit", "identity"],
            inputs=[
                io.Image.Input("image", tooltip="Picture(s) of the part. RGBA is put onto white, and its alpha is the mask."),
                io.Combo.Input("label", options=list(LABELS), default="face", tooltip="What the picture is taken for."),
                io.Float.Input("strength", default=1.0, min=0.0, max=10.0, step=0.05,
                               tooltip="How much attention the part gets (0 to 10). 1 as trained, 0 leaves it out."),
                declare(io.Float.Input, "start", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
                        tooltip="Share of the noise schedule before which the part is not used (0 to 1)."),
                declare(io.Float.Input, "end", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
                        tooltip="Share of the noise schedule after which the part is no longer used (0 to 1)."),
                io.Combo.Input("crop", options=[WHOLE, MASK, FACE], default=WHOLE, tooltip="What is cut out first: nothing; the mask's "
                               "box, for small parts; or a square around the face, eyes level, which needs pose_keypoint."),
                declare(io.Combo.Input, "fit", options=[PAD, STRETCH], default=PAD, advanced=True, tooltip="pad: white borders keep the "
                        "proportions. stretch: fills the target's size, as the authors' code does."),
                io.Mask.Input("mask", optional=True, tooltip="1 where the part is, 0 elsewhere, in the picture's size. Load Image gives "
                              "the opposite for transparent pictures: invert it. Not connected: the picture's alpha, or all of it."),
                sockets.PoseKeypoint.Input("pose_keypoint", optional=True, tooltip="Points of the first person in each picture, for "
                                           "cropping to the face."),
                sockets.ReferenceParts.Input("references", optional=True, tooltip="Other parts, from another Reference Part."),
            ],
            outputs=[
                sockets.ReferenceParts.Output(display_name="references", tooltip="For Apply Parts2Whole, or another Reference Part."),
                io.Image.Output(display_name="image", tooltip="The first picture as it will be used, before it is fitted to the target."),
            ],
        )

    @classmethod
    def execute(cls, image, label, strength, start, end, crop, fit, mask=None, pose_keypoint=None, references=()):
        masks = convert.mask_to_bhw(mask)
        _check_mask(masks, image, label)
        faces = _faces(pose_keypoint, len(image)) if crop == FACE else None
        added = [prepare(picture, None if masks is None else masks[min(row, len(masks) - 1)], label, crop, faces and faces[row],
                         strength=strength, start=start, end=end, fit=fit) for row, picture in enumerate(image)]
        first = added[0].image[None]
        return io.NodeOutput((*references, *added), first, ui=convert.preview_image(first))


def prepare(picture, mask, label, crop, face, **options):
    """One Reference of a picture (H, W, 3 or 4), cut as chosen."""
    made = make_reference(picture, label, mask, **options)
    if crop == WHOLE:
        return made
    cut = crop_to_mask(made.image, made.mask) if crop == MASK else align_face(made.image, made.mask, *face)
    return replace(made, image=cut[0], mask=cut[1])


def _check_mask(masks, image, label):
    """Raises where a connected mask cannot be meant."""
    if masks is None:
        return
    if masks.shape[1:] != image.shape[1:3]:
        hint = "Load Image gives a small empty mask for a picture without alpha: do not connect it then. Else resize the mask."
        raise InputError("mask", f"{masks.shape[2]} x {masks.shape[1]}", f"has not the picture's size {image.shape[2]} x {image.shape[1]}",
                         hint)
    if len(masks) not in (1, len(image)):
        raise InputError("mask", f"{len(masks)} rows", f"do not fit {len(image)} pictures", "Give one mask, or one per picture.")
    if not masks.flatten(1).any(1).all():
        raise InputError("mask", "all zero", f"shows no {label}", "It must be 1 where the part is; strength 0 leaves the part out.")


def _faces(pose_keypoint, count):
    """Per picture the first person's (points (18, 2), scores (18,))."""
    if pose_keypoint is None:
        raise InputError("pose_keypoint", None, "is not connected", "Connect a pose detector, or choose another crop.")
    keypoints, frames, people = pose_keypoint_to_keypoints(pose_keypoint)
    first = {int(frame): row for row, (frame, person) in enumerate(zip(frames, people)) if int(person) == 0}
    if set(range(count)) - set(first):
        raise InputError("pose_keypoint", f"{len(first)} pictures", f"do not cover the {count} given",
                         "Detect poses in these very pictures.")
    return [(keypoints.keypoints_2d[first[row]], keypoints.scores[first[row]]) for row in range(count)]


class ApplyPartsToWhole(io.ComfyNode):
    """The references go into the model and the conditionings."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoApplyParts2Whole",
            display_name="Apply Parts2Whole",
            category=CATEGORY,
            description="Lets a sampler paint one person out of the references. Use any sampler node, cfg about 3.5. Also works inside the "
            "Dancing Avatar frame loop. Other SD1.5 models than the loaded one are experimental: the whole denoiser was trained.",
            search_aliases=["reference attention", "virtual try-on", "identity"],
            inputs=[
                io.Model.Input("model", tooltip="From Load Parts2Whole. Another SD1.5 model is possible, but experimental."),
                io.Clip.Input("clip", tooltip="CLIP of Stable Diffusion 1.5; reads the parts' labels."),
                io.Vae.Input("vae", tooltip="VAE of Stable Diffusion 1.5, best sd-vae-ft-mse."),
                io.ClipVision.Input("clip_vision", tooltip="The released image_encoder, a CLIP ViT-L/14 with projection."),
                sockets.PartsToWhole.Input("parts2whole", tooltip="From Load Parts2Whole."),
                io.Conditioning.Input("positive", tooltip="The person; reads the references."),
                io.Conditioning.Input("negative", tooltip="Empty, or what is not wanted; never reads references, but follows the pose."),
                sockets.ReferenceParts.Input("references", optional=True,
                                             tooltip="From Reference Part. None, or all of strength 0: the plain model."),
                io.Image.Input("pose", optional=True, tooltip="DensePose colours, from Render Part Map; one picture or one per row. "
                               "With an OpenPose map use a ControlNet instead."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, vae, clip_vision, parts2whole, positive, negative, references=(), pose=None):
        kept = acting(references)
        if not parts_loading.check_model(model, parts2whole):
            logging.warning("Apply Parts2Whole: this is not the denoiser of Load Parts2Whole. The result is experimental.")
        if not kept and pose is None:
            return io.NodeOutput(model, positive, negative)
        _check_vae(vae)
        states = [host.clip_text_states(clip, reference.label).tokens for reference in kept]
        tokens = image_tokens(clip_vision, kept, parts2whole.projections.token_width)
        run = ReferenceRun(parts2whole, kept, states, tokens, vae, None if pose is None else convert.image_to_rgb(pose))
        return io.NodeOutput(run.attach(model), run.mark(positive, True), run.mark(negative, False))


def image_tokens(clip_vision, references, width):
    """(R, D) CLIP tokens of the references times their strengths.

    Raises:
        InputError: a CLIP Vision of another width.
    """
    tokens = []
    for reference in references:
        seen = clip_vision.encode_image(reference.image[None])["image_embeds"]
        if seen.ndim != 2 or seen.shape[-1] != width:
            raise InputError("clip_vision", "CLIP_VISION", f"makes {seen.shape[-1]} numbers per picture, not {width}", VISION_REMEDY)
        tokens.append(seen.float().cpu()[0] * reference.strength)
    return torch.stack(tokens) if tokens else torch.zeros(0, width)


def _check_vae(vae):
    if vae.latent_channels != 4 or vae.spacial_compression_encode() != 8:
        raise InputError("vae", f"with {vae.latent_channels} latent channels", "is not of Stable Diffusion 1.5",
                         "Connect sd-vae-ft-mse, or the VAE of an SD1.5 checkpoint.")
