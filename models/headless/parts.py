"""Parts2Whole as one job: reference pictures of a person's parts and a sentence become that person, in a given pose."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import InputError, check_range
from ..parts_to_whole.appearance_encoder import encode_appearance, join
from ..parts_to_whole.image_tokens import ImageProjections, pad_tokens
from ..parts_to_whole.network import PartsUNet
from ..parts_to_whole.parts import TOKENS, acting, fit_reference
from ..parts_to_whole.pose_guider import PoseGuider
from ..parts_to_whole.weights import DENOISER, SCHEDULER, load_weights
from .diffusers_backend import DiffusersModel, clip_text_encoder

FOLDERS = ("vae", "text_encoder", "tokenizer", "image_encoder")
CLIP_MEAN, CLIP_STD, CLIP_SIDE = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), 224


class PartsModel(DiffusersModel):
    """``ports.ImageDiffusion`` whose texts end in image tokens.

    Args:
        unet: PartsUNet.
        vae, scheduler, text_encoder, controls: see ``DiffusersModel``.
        encoder: UNet2DConditionModel, the appearance encoder.
        guider: PoseGuider.
        see: (B, H, W, 3) pictures 0..1 -> (B, D) CLIP image embeddings.
    """

    def __init__(self, unet: PartsUNet, vae, scheduler, text_encoder, encoder, guider, see, controls=None):
        super().__init__(unet, vae, scheduler, text_encoder, controls)
        self.encoder, self.guider, self.see = encoder.eval(), guider.eval(), see

    @staticmethod
    def _residuals(control, noisy, timestep, states, hint):
        """ControlNets were not trained with image tokens: they get the text alone."""
        return DiffusersModel._residuals(control, noisy, timestep, states[:, :-TOKENS], hint)


@torch.no_grad()
def paint_person(model: PartsModel, references, text, negative="", pose: Tensor | None = None, height=768, width=512, count=1, seed=0,
                 steps=50, guidance=3.5, on_step=None, hints=None) -> Tensor:
    """Paints pictures of one person.

    Args:
        model: PartsModel.
        references: of ``make_reference``; at most six that act.
        text, negative: what the picture shows, and what it shall not show.
        pose: (1, H, W, 3) in the colours that the guider was trained on, or None.
        height, width: pixels, multiples of 8.
        count: pictures.
        seed, steps, guidance: of the sampler.
        on_step: called with (done, total).
        hints: {name: picture} for the model's ControlNets.

    Returns:
        (count, height, width, 3).

    Raises:
        InputError: sizes or numbers out of range, or too many references.
    """
    for name, value in (("height", height), ("width", width)):
        if check_range(name, value, 64, 4096, "pixels") % model.cell:
            raise InputError(name, value, f"is no multiple of {model.cell}", f"Choose {value // model.cell * model.cell}.")
    check_range("count", count, 1, 64)
    kept = acting(references)
    model.unet.use(encode_references(model, kept, height, width), pose_features(model, pose, height, width))
    try:
        tokens = image_tokens(model, kept).expand(count, -1, -1)
        wanted, unwanted = (model.encode_text([said] * count).to(model.device) for said in (text, negative))
        positive = torch.cat([wanted, tokens.to(wanted)], 1)
        negative = torch.cat([unwanted, torch.zeros_like(tokens).to(unwanted)], 1)
        latents = model.empty_latents(height, width).expand(count, -1, -1, -1)
        return model.decode(model.sample(positive, negative, latents, None, None, seed, steps, guidance, on_step, hints))
    finally:
        model.unet.use(None)


def encode_references(model: PartsModel, references, height, width):
    """The Bank of the references at the target's size, one pass each."""
    features = []
    for reference in references:
        picture, mask = (part.to(model.device) for part in fit_reference(reference, height, width))
        latents, states = model.scale(model.encode(picture.movedim(1, -1))), model.encode_text([reference.label])
        dtype = next(model.encoder.parameters()).dtype
        features.append(encode_appearance(model.encoder, latents.to(dtype), states.to(model.device, dtype), mask))
    return join(references, features) if references else None


def image_tokens(model: PartsModel, references) -> Tensor:
    """(1, 6, D): one token per reference times its strength, zeros behind."""
    width = model.unet.projections.token_width
    seen = [model.see(reference.image[None]).float() * reference.strength for reference in references]
    return pad_tokens(torch.stack(seen, 1) if seen else torch.zeros(1, 0, width, device=model.device))


def pose_features(model: PartsModel, pose: Tensor | None, height, width):
    """What the guider makes of a picture of the pose, or None."""
    if pose is None:
        return None
    picture = interpolate(pose.movedim(-1, 1).float(), (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    weight = next(model.guider.parameters())
    return model.guider(picture.to(weight))


def load_parts_model(folder, weights=None, device="cpu", dtype=torch.float32) -> PartsModel:
    """Loads the released folder; nothing is downloaded.

    Args:
        folder: with vae, text_encoder, tokenizer and image_encoder, and the four networks unless ``weights`` holds them.
        weights: a converted or trained file, or None.

    Raises:
        InputError: the folder lacks a part, cannot be read, or a package is missing.
    """
    folder = Path(folder)
    if missing := [name for name in FOLDERS if not (folder / name).is_dir()]:
        raise InputError("Parts2Whole folder", folder, f"has no {', '.join(missing)}", "Give the complete released folder.")
    found = load_weights(weights or folder)
    try:
        from diffusers import AutoencoderKL, DDIMScheduler

        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype, local_files_only=True).to(device)
        texts, see = clip_text_encoder(folder, device, dtype), clip_image_encoder(folder, device, dtype)
        scheduler = DDIMScheduler(**SCHEDULER)
    except (OSError, ValueError, KeyError, ImportError) as error:
        remedy = "Check the folder, and that diffusers and transformers are installed."
        raise InputError("Parts2Whole folder", folder, f"cannot be loaded ({error})", remedy) from None
    encoder, denoiser, guider = build_networks(found)
    parts = [module.to(device, dtype) for module in (denoiser, encoder, guider)]
    return PartsModel(parts[0], vae, scheduler, texts, *parts[1:], see)


def build_networks(weights):
    """(appearance encoder, PartsUNet, PoseGuider) of loaded weights."""
    from diffusers import UNet2DConditionModel

    config = {name: value for name, value in weights.config.get(DENOISER, {}).items() if not name.startswith("_")}
    with torch.device("meta"):
        encoder, unet = (UNet2DConditionModel(**config) for _ in range(2))
    try:
        encoder.load_state_dict(weights.appearance_encoder, assign=True)
        unet.load_state_dict(weights.denoiser, assign=True)
    except RuntimeError as error:
        raise InputError("Parts2Whole config", str(config)[:80], f"does not fit the weights ({str(error)[:200]})",
                         "Keep unet/config.json beside the weights.") from None
    projections = ImageProjections.from_weights(weights.image_projections)
    return encoder, PartsUNet(unet, projections), PoseGuider.from_weights(weights.pose_guider)


def clip_image_encoder(folder, device, dtype=torch.float32):
    """Returns pictures (B, H, W, 3) 0..1 -> (B, D) projected CLIP embeddings; the shorter side to 224, then the middle, as released.

    Raises:
        InputError: the folder has no image_encoder, or transformers is not installed.
    """
    try:
        from transformers import CLIPVisionModelWithProjection

        network = CLIPVisionModelWithProjection.from_pretrained(Path(folder) / "image_encoder", torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        remedy = "Put the image_encoder of lambdalabs/sd-image-variations-diffusers there; install transformers."
        raise InputError("image encoder", Path(folder) / "image_encoder", f"cannot be loaded ({error})", remedy) from None
    network = network.to(device).eval()

    @torch.no_grad()
    def see(pictures):
        return network(clip_pixels(pictures.to(device)).to(dtype)).image_embeds.float()
    return see


def clip_pixels(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) 0..1 -> (B, 3, 224, 224) as CLIP reads them."""
    height, width = pictures.shape[1:3]
    scale = CLIP_SIDE / min(height, width)
    size = max(CLIP_SIDE, round(height * scale)), max(CLIP_SIDE, round(width * scale))
    sized = interpolate(pictures.movedim(-1, 1).float(), size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = (size[0] - CLIP_SIDE) // 2, (size[1] - CLIP_SIDE) // 2
    middle = sized[:, :, top : top + CLIP_SIDE, left : left + CLIP_SIDE]
    mean, std = (middle.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return (middle - mean) / std
