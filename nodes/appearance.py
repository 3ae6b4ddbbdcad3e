"""Intra-frame alignment in the graph: refined prompts around any language model, and the training of appearance modules."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

import comfy.lora
import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy_api.v0_0_2 import io

from ..models.assets.files import read_safetensors
from ..models.checks import InputError
from ..models.dancing_avatar.appearance import (
    PARTS,
    AppearanceTrainer,
    AppearanceTraining,
    crop_parts,
    cross_attention_layers,
    load_state,
    save_module,
    save_state,
)
from ..models.dancing_avatar.prompts import KINDS, KeptPrompts, prompt_for_words, refine
from ..models.motion.openpose import pose_keypoint_to_keypoints
from . import convert, dancing_avatar, host, sockets
from .provenance import value_digest
from .sockets import declare

CACHE_FOLDER = "contrapposto_appearance"
SAVE_EVERY = 50
DESCRIPTION_TIP = "A rough description, such as: a red summer dress. Or: the face of a young man."


class PromptTemplate(io.ComfyNode):
    """A description -> the paper's question to a language model."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPromptTemplate",
            display_name="Prompt Template",
            category=dancing_avatar.CATEGORY,
            description="Writes the question that makes a language model describe clothes, or a face, in 20 words. Connect any language "
            "model node behind it, and Prompt Parse behind that.",
            search_aliases=["refine prompt", "LLM", "ChatGPT"],
            inputs=[
                io.Combo.Input("kind", options=list(KINDS), default=KINDS[0], tooltip="What is described."),
                io.String.Input("description", default="a red summer dress", multiline=True, tooltip=DESCRIPTION_TIP),
            ],
            outputs=[io.String.Output(display_name="prompt", tooltip="For a language model node, such as ComfyUI's Text Generate.")],
        )

    @classmethod
    def execute(cls, kind, description):
        return io.NodeOutput(prompt_for_words(kind, description))


class PromptParse(io.ComfyNode):
    """A language model's answer -> exactly 20 words."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoPromptParse",
            display_name="Prompt Parse",
            category=dancing_avatar.CATEGORY,
            description="Reads 20 single words out of a language model's answer, no word twice. What is missing comes from an offline "
            "lexicon, so it also works without a language model.",
            search_aliases=["refine prompt", "20 words", "LLM"],
            inputs=[
                io.Combo.Input("kind", options=list(KINDS), default=KINDS[0], tooltip="As in Prompt Template."),
                io.String.Input("description", default="a red summer dress", multiline=True, tooltip="As in Prompt Template."),
                sockets.seed_input("Of the lexicon; another seed also asks the language model anew when words are kept."),
                io.Boolean.Input("keep", default=True, tooltip="On: the words of a description and seed are kept in the output folder and "
                                 "used again, and the language model is not asked a second time. Off: read every answer."),
                io.String.Input("answer", optional=True, force_input=True, lazy=True,
                                tooltip="What the language model wrote, in any form. Not connected: all words are the lexicon's."),
            ],
            outputs=[
                io.String.Output(display_name="prompt", tooltip="The 20 words, for a text encoder."),
                io.String.Output(display_name="report", tooltip="How many words came from the language model."),
            ],
        )

    @classmethod
    def check_lazy_status(cls, kind, description, seed, keep, **linked):
        asked = "answer" in linked and linked["answer"] is None
        return ["answer"] if asked and not (keep and _kept().find(kind, description, seed)) else []

    @classmethod
    def execute(cls, kind, description, seed, keep, answer=None):
        refined = _kept().find(kind, description, seed) if keep and answer is None else None
        if refined is None:
            refined = refine(kind, description, answer or "", seed)
            if keep and refined.answered:
                _kept().keep(kind, description, seed, refined)
        return io.NodeOutput(refined.text, refined.report, ui={"text": (refined.text,)})


class TrainAppearanceModule(io.ComfyNode):
    """Pictures of clothes, or of a face -> a LoRA of the cross-attention layers."""

    @classmethod
    def define_schema(cls):
        return declare(
            io.Schema,
            node_id="ContrappostoTrainAppearanceModule",
            display_name="Train Appearance Module",
            category=dancing_avatar.CATEGORY,
            description="Teaches an image model one person's clothes, or face, as low-rank changes of its cross-attention layers only. The "
            "result is a LoRA file. A training that was stopped goes on where it was; a finished one is found again.",
            search_aliases=["LoRA training", "intra-frame alignment", "consistent character"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The UNet model that the module will be used with, such as Stable Diffusion 1.5."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Conditioning.Input("positive", tooltip="The refined prompt: the words that will call for these clothes, or this "
                                      "face. One for all pictures, or one per picture."),
                io.Image.Input("images", tooltip="Pictures of it, for example made from the refined prompt."),
                io.Combo.Input("part", options=list(PARTS), default=PARTS[0],
                               tooltip="What is learnt and cut out of the pictures: the body, the head, or everything. "
                               "Cutting needs pose_keypoint; without it the middle square is taken."),
                sockets.PoseKeypoint.Input("pose_keypoint", optional=True, tooltip="From a pose detector: who is where in the pictures."),
                io.Model.Input("apply_to", optional=True, tooltip="The model that gets the module, for example with the other module in "
                               "it. Not connected: the trained one."),
                io.Int.Input("steps", default=500, min=1, max=100000, tooltip="Training steps (1 to 100000). The paper's 500."),
                io.Int.Input("rank", default=16, min=1, max=512,
                             tooltip="Rank of the changes (1 to 512). Higher learns more, and more by heart."),
                io.Float.Input("learning_rate", default=1e-4, min=1e-6, max=1.0, step=1e-6, round=False,
                               tooltip="Of AdamW (0.000001 to 1)."),
                declare(io.Int.Input, "batch", default=1, min=1, max=256, advanced=True, optional=True,
                        tooltip="Pictures per step (1 to 256). More needs more memory."),
                declare(io.Int.Input, "size", default=512, min=64, max=2048, step=64, advanced=True, optional=True,
                        tooltip="Side of the cut pictures, pixels (64 to 2048)."),
                sockets.seed_input("Of the training."),
                io.Float.Input("strength", default=1.0, min=-4.0, max=4.0, step=0.05,
                               tooltip="How strongly the module is applied to the model output (-4 to 4)."),
                io.String.Input("filename_prefix", default="contrapposto/clothes",
                                tooltip="Folder and beginning of the file's name, inside ComfyUI/models/loras."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model with the module. Chain a second Train node through apply_to."),
                io.String.Output(display_name="lora_name", tooltip="The file's name as Load LoRA lists it after a refresh."),
                io.Image.Output(display_name="crops", tooltip="What was learnt from."),
                io.String.Output(display_name="report", tooltip="Layers trained, layers that the loader patches, and the loss."),
            ],
        )

    @classmethod
    def execute(cls, model, vae, positive, images, part, steps, rank, learning_rate, seed, strength, filename_prefix, batch=1, size=512,
                pose_keypoint=None, apply_to=None):
        training = AppearanceTraining(steps, rank, float(rank), learning_rate, batch, seed)
        if len(positive) not in (1, len(images)):
            raise InputError("positive", f"{len(positive)} entries", f"do not fit {len(images)} pictures", "Give one, or one for each.")
        crops = crop_parts(convert.image_to_rgb(images), _people(pose_keypoint, images), part, size)
        names = diffusers_names(model)
        path, report = _train(model, names, vae.encode(crops), positive, training, filename_prefix, value_digest(crops), part)
        tensors, facts = read_safetensors(path)
        patched = len(comfy.lora.load_lora(dict(tensors), comfy.lora.model_lora_keys_unet(model.model, {})))
        if patched != facts["layers"]:
            raise InputError("model", type(model.model).__name__, f"takes {patched} of {facts['layers']} trained layers",
                             "Use Stable Diffusion 1.5, 2.1 or SDXL, whose layer names ComfyUI's LoRA loader knows.")
        changed, _ = comfy.sd.load_lora_for_models(apply_to or model, None, dict(tensors), strength, 0.0)
        report = f"{facts['layers']} cross-attention layers trained, {patched} patched by the loader. {report}"
        name = path.relative_to(_lora_folder()).as_posix()
        return io.NodeOutput(changed, name, host.to_intermediate(crops), report, ui=convert.preview_image(crops))


class HostedDenoiser:
    """``appearance.Denoiser`` over a MODEL, loaded whole; CONDITIONING holds one entry for all pictures or one for each."""

    def __init__(self, model, conditioning):
        comfy.model_management.load_models_gpu([model], force_full_load=True)
        self.base, self.options = model.model, model.model_options["transformer_options"]
        self.network, self.conditioning = freeze(model.model.diffusion_model), conditioning
        self.sigmas = model.model.model_sampling.sigmas.detach().clone().float()

    def denoise(self, noisy, sigma, rows):
        states, options = self._texts(noisy, rows)
        height, width = (side * 8 for side in noisy.shape[2:])
        given = {"device": noisy.device, "noise": noisy, "width": width, "height": height, "prompt_type": "positive"}
        given |= {"latent_image": torch.zeros_like(noisy), **options}  # an inpainting model learns with everything to be painted
        extra = {name: cond.cond for name, cond in self.base.extra_conds(**given, cross_attn=states).items()}
        return self.base.apply_model(noisy, sigma, transformer_options=dict(self.options), **extra)

    def _texts(self, noisy, rows):
        """Text states (B, T, D), and what else lies with them, one row per picture."""
        entries = [self.conditioning[row if len(self.conditioning) > 1 else 0] for row in rows.tolist()]
        longest = max(states.shape[1] for states, _ in entries)
        states = torch.cat([_longer(states, longest) for states, _ in entries]).to(noisy.device).clone()
        options = dict(entries[0][1])
        if options.get("pooled_output") is not None:
            options["pooled_output"] = torch.cat([rest["pooled_output"] for _, rest in entries]).to(noisy.device).clone()
        return states, options


def freeze(network):
    """Makes a network able to pass gradients on: weights made in inference mode are replaced, one by one, by equal ones that are not."""
    for module in network.modules():
        for held in (module._parameters, module._buffers):
            for name, value in held.items():
                if value is not None and value.is_inference():
                    held[name] = torch.nn.Parameter(value.clone(), requires_grad=False) if held is module._parameters else value.clone()
                elif value is not None:
                    value.requires_grad_(False)
    return network


def diffusers_names(model):
    """Cross-attention layer -> its name in diffusers, under which LoRA files are written everywhere.

    Raises:
        InputError: ComfyUI knows no such names for the model.
    """
    layers = cross_attention_layers(model.model.diffusion_model)
    known = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    names = {ours: theirs for theirs, ours in known.items()}
    missing = [name for name in layers if f"{name}.weight" not in names]
    if missing:
        raise InputError("model", type(model.model).__name__, f"has {len(missing)} layers that LoRA files have no name for",
                         "Use Stable Diffusion 1.5, 2.1 or SDXL.")
    return {name: names[f"{name}.weight"].removesuffix(".weight") for name in layers}


def _train(model, names, latents, positive, training, prefix, content, part):
    """Returns (path, report) of the module, trained now, gone on with, or found."""
    show = host.PictureProgress()
    with torch.inference_mode(False), torch.enable_grad():
        denoiser = HostedDenoiser(model, positive)
        weights = [layer.weight.detach() for layer in cross_attention_layers(denoiser.network).values()]
        key = value_digest([content, positive, repr(training), part, weights])[:12]
        path = _lora_folder() / f"{prefix}_{key}.safetensors"
        if not path.resolve().is_relative_to(_lora_folder()):
            raise InputError("filename_prefix", prefix, "leads out of the loras folder", "Leave away .. and leading slashes.")
        if path.exists():
            return path, "The finished module was found by its content; nothing was trained again."
        unfinished = Path(folder_paths.get_output_directory()) / CACHE_FOLDER / f"{key}.safetensors"
        clean = model.model.process_latent_in(latents.to(model.load_device).clone().float())
        trainer = AppearanceTrainer(denoiser, clean, training, _state(unfinished))
        begun = trainer.step

        def stepped(done, total, loss):
            if done % SAVE_EVERY == 0:
                save_state(unfinished, trainer)
            show.step(done, total)

        try:
            trainer.run(stepped)
        except BaseException:
            if trainer.step > begun:
                save_state(unfinished, trainer)
            raise
        save_module(path, trainer.module, {"training": asdict(training), "part": part, "pictures": len(latents)}, names)
        unfinished.unlink(missing_ok=True)
    tenth = max(1, len(trainer.losses) // 10)
    first, last = (sum(losses) / tenth for losses in (trainer.losses[:tenth], trainer.losses[-tenth:]))
    went_on = f" It went on from step {begun}." if begun else ""
    return path, f"Loss {first:.4f} -> {last:.4f} over {training.steps} steps.{went_on}"


def _state(path):
    """The state of an unfinished training, or None; a damaged file counts as none."""
    try:
        return load_state(path) if path.exists() else None
    except InputError as error:
        logging.warning("The training begins anew: %s", error)
        return None


def _people(pose_keypoint, images):
    """The first person of each picture as Keypoints; None without key points."""
    if pose_keypoint is None:
        return None
    keypoints, frame, _ = pose_keypoint_to_keypoints(pose_keypoint)
    firsts = [next((row for row, number in enumerate(frame.tolist()) if number == picture), None) for picture in range(len(images))]
    if None in firsts:
        raise InputError("pose_keypoint", f"picture {firsts.index(None)}", "shows nobody", "Leave this picture out.")
    return keypoints[firsts]


def _lora_folder():
    return Path(folder_paths.get_folder_paths("loras")[0]).resolve()


def _kept():
    return KeptPrompts(Path(folder_paths.get_output_directory()) / CACHE_FOLDER / "prompts")


def _longer(states, tokens):
    """Text states (1, t, D) with their last token repeated up to ``tokens``; ComfyUI's own texts have multiples of 77."""
    return torch.cat([states, states[:, -1:].expand(-1, tokens - states.shape[1], -1)], 1)
