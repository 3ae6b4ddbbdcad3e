"""Parts2Whole inside ComfyUI's sampling. Everything hangs on wrappers and on lists of patches, so it stands beside IP-Adapter and others.

What a run needs is prepared in Apply Parts2Whole, except for what depends on the picture's size: that is made when a sampler starts,
once per reference, and dropped when it ends. Conditionings say which rows read references.
"""

from __future__ import annotations

import math

import comfy.conds
import comfy.model_management
import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP

from ..models.checks import InputError
from ..models.parts_to_whole.appearance_encoder import join
from ..models.parts_to_whole.parts import acts_at, fit_reference
from ..models.parts_to_whole.shared_attention import attend_rows, masked_features, strength_bias, with_references

ROWS_KEY, POSE_KEY = "contrapposto_references", "contrapposto_pose"
CELL = 8  # pixels per latent of Stable Diffusion 1.5


class RowsCond(comfy.conds.CONDConstant):
    """Which rows of a pass read the references: ``cond`` is (ReferenceRun, one bool per row)."""

    def process_cond(self, batch_size, **_):
        run, rows = self.cond
        run.check_open()
        return self._copy_with((run, rows * batch_size))

    def can_concat(self, other):
        return self.cond[0] is other.cond[0]

    def concat(self, others):
        return self.cond[0], sum((other.cond[1] for other in others), self.cond[1])


class PoseCond(comfy.conds.CONDConstant):
    """Looks up the pose guider's output when the sampler asks for it, cut to its area."""

    def process_cond(self, batch_size, area=None, **options):
        self.cond.check_open()
        return comfy.conds.CONDNoiseShape(self.cond.pose_features).process_cond(batch_size, area=area, **options)


class ReferenceRun:
    """What the samplers behind one Apply Parts2Whole read.

    Args:
        parts: nodes.parts_loading.LoadedParts.
        references: those that act, at most six.
        states: per reference (1, 77, D) text states of its label.
        tokens: (R, D) CLIP tokens, scaled by the references' strengths.
        vae: VAE, for the references.
        pose: (B, H, W, 3) picture of the pose, or None.
    """

    def __init__(self, parts, references, states, tokens, vae, pose):
        self.parts, self.references, self.states, self.vae, self.pose = parts, references, states, vae, pose
        padded = torch.zeros(1, 6, parts.projections.token_width)
        padded[0, : len(tokens)] = tokens
        self.keys_values = {parts.blocks[name]: pair for name, pair in parts.projections(padded).items()} if references else {}
        self.is_open, self.bank, self.pose_features, self.latents = False, None, None, {}

    def attach(self, model):
        """A clone of a MODEL under which conditionings of this run work."""
        clone = model.clone()
        key = f"contrapposto_parts_{id(self)}"
        clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, key, self.around_sampling)
        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, key, self.around_pass)
        return clone

    def mark(self, conditioning, reads):
        """The conditioning with this run in each entry; ``reads`` tells whether it reads references."""
        added = {ROWS_KEY: RowsCond((self, (reads,)))} if self.references else {}
        if self.pose is not None:
            added[POSE_KEY] = PoseCond(self)
        return [[states, {**options, "model_conds": {**options.get("model_conds", {}), **added}}] for states, options in conditioning]

    def check_open(self):
        """Refuses conditionings that are used with another MODEL, which would read nothing.

        Raises:
            InputError: they are.
        """
        if not self.is_open:
            raise InputError("model", "of the sampler", "did not come through Apply Parts2Whole, but its conditioning did",
                             "Connect the sampler's model to the model output of Apply Parts2Whole.")

    def around_sampling(self, executor, noise, *rest, **options):
        """OUTER_SAMPLE: the references are encoded for this size, and forgotten afterwards."""
        height, width = noise.shape[-2] * CELL, noise.shape[-1] * CELL
        try:
            self._open(height, width)
            return executor(noise, *rest, **options)
        finally:
            self.is_open, self.bank, self.pose_features = False, None, None

    def _open(self, height, width):
        if self.pose is not None:
            picture = comfy.utils.common_upscale(self.pose.movedim(-1, 1), width, height, "bicubic", "disabled").clamp(0, 1)
            self.pose_features = self.parts.guider.ready()(picture.to(self.parts.guider.device, torch.float32))
        if self.references:
            per_reference = encode_references(self.parts.encoder, self._fitted(height, width), self.states, self.parts.blocks.values())
            self.bank = join(self.references, per_reference)
        self.is_open = True

    def _fitted(self, height, width):
        """Per reference its latents and its mask; the VAE's work is kept for the next run."""
        if (height, width) not in self.latents:
            fitted = [fit_reference(reference, height, width) for reference in self.references]
            self.latents = {(height, width): [(self.vae.encode(picture.movedim(1, -1)), mask) for picture, mask in fitted]}
        return self.latents[height, width]

    def around_pass(self, executor, x, timesteps, context=None, y=None, control=None, transformer_options=None, **options):
        """DIFFUSION_MODEL: one pass of the network, with our patches behind those of others."""
        options = dict(options)
        transformer_options = transformer_options or {}
        found = options.get(ROWS_KEY)
        if found is not None and found[0] is self:
            del options[ROWS_KEY]
            reading = Reading(self, executor.class_obj, found[1], float(timesteps.flatten()[0]), transformer_options)
            transformer_options = reading.options() if reading.acts else transformer_options
        if self.pose is not None and POSE_KEY in options:
            transformer_options = patched(transformer_options, input_block_patch=PoseAdder(options.pop(POSE_KEY)))
        return executor(x, timesteps, context, y, control, transformer_options, **options)


class PoseAdder:
    """Adds the pose behind the first convolution."""

    def __init__(self, features):
        self.features = features

    def __call__(self, h, transformer_options):
        return h + self.features.to(h) if transformer_options["block"] == ("input", 0) else h


class Reading:
    """The patches of one pass.

    Args:
        run: ReferenceRun.
        network: ComfyUI's UNetModel.
        rows: per row whether it is conditional.
        timestep: 999 .. 0.
        options: transformer_options as others left them.
    """

    def __init__(self, run, network, rows, timestep, options):
        self.run, self.network, self.rows, self.given = run, network, rows, options
        self.bank = run.bank.at(timestep)
        self.present = torch.tensor([acts_at(reference, timestep) for reference in run.references] + [False] * (6 - len(run.references)))
        self.replaced = options.get("patches_replace", {}).get("attn1", {})
        self.other = options.get("optimized_attention_override")
        self.pending, self.normed = None, None

    @property
    def acts(self):
        return any(self.rows) and bool(self.bank.references)

    def options(self):
        """The transformer_options of this pass."""
        return {**patched(self.given, attn1_patch=self.append_references, attn2_patch=self.note_input, attn2_output_patch=self.add_tokens),
                "optimized_attention_override": self.attend}

    def append_references(self, n, context, value, options):
        """attn1_patch: references behind the row's own tokens, unless another node has taken over this block's attention."""
        place = block_place(options)
        references = self.bank.features.get(place)
        if references is None or place in self.replaced or place[:2] in self.replaced:
            return n, context, value
        self.pending = strength_bias([r.to(n) for r in references], self.bank.strengths, context.shape[1]), n.shape[1]
        longer = with_references(context, references)
        return n, longer, longer if value is context else with_references(value, references)

    def attend(self, function, query, key, value, heads, *rest, **options):
        """The attention of every block. In the one that was just given references, unconditional rows do not see them."""
        call = function if self.other is None else lambda *a, **k: self.other(function, *a, **k)
        pending, self.pending = self.pending, None
        if pending is None or key.shape[1] <= query.shape[1]:
            return call(query, key, value, heads, *rest, **options)

        def attend(query, key, value, bias):
            given = options if bias is None else {**options, "mask": bias.expand(query.shape[1], -1)}
            return call(query, key, value, heads, *rest, **given)
        return attend_rows(attend, query, key, value, self.rows, pending[0])

    def note_input(self, n, context, value, options):
        """attn2_patch: what cross-attention is asked with."""
        self.normed = n
        return n, context, value

    def add_tokens(self, n, options):
        """attn2_output_patch: the image tokens' attention, through the block's own output layer without its bias a second time."""
        place = block_place(options)
        if place not in self.run.keys_values:
            return n
        rows = torch.tensor(self.rows, device=n.device)
        attention = self.network.get_submodule(place_name(place)).attn2
        query = attention.to_q(self.normed[rows])
        here = self.present.to(query)[None, :, None]
        key, value = ((part.to(query) * here).expand(len(query), -1, -1) for part in self.run.keys_values[place])
        split = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in (query, key, value))
        out = torch.nn.functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)
        n = n.clone()
        n[rows] += attention.to_out(out) - attention.to_out(torch.zeros_like(out[:1, :1]))
        return n


def patched(options, **patches):
    """transformer_options with one more patch at the end of each named list."""
    lists = options.get("patches", {})
    return {**options, "patches": {**lists, **{name: [*lists.get(name, ()), patch] for name, patch in patches.items()}}}


def block_place(options):
    """("input", 1, 0): ComfyUI's own name of a transformer block."""
    return (*options["block"], options["block_index"])


def place_name(place):
    """The block's name among the network's modules."""
    side, number, index = place
    stem = "middle_block" if side == "middle" else f"{side}_blocks.{number}"
    return f"{stem}.1.transformer_blocks.{index}"


def encode_references(encoder, fitted, states, places):
    """Per reference {place: masked features (1, T, C)} from one pass of the appearance encoder at t = 0.

    Args:
        encoder: ModelPatcher of a Stable Diffusion UNet.
        fitted: pairs of latents (1, 4, h, w) and mask (1, 1, H, W).
        states: text states (1, 77, D), one per reference.
        places: the blocks.
    """
    largest = max(math.prod(latents.shape) for latents, _ in fitted)
    shape = next(latents.shape for latents, _ in fitted if math.prod(latents.shape) == largest)
    comfy.model_management.load_models_gpu([encoder], memory_required=encoder.model.memory_required(list(shape)))
    model, device = encoder.model, encoder.load_device
    dtype = model.manual_cast_dtype or model.get_dtype()
    wanted, found = set(places), []
    for (latents, mask), text in zip(fitted, states):
        comfy.model_management.throw_exception_if_processing_interrupted()
        features, mask = {}, mask.to(device)

        def keep(n, context, value, options, features=features, mask=mask):
            if (place := block_place(options)) in wanted:
                features[place] = masked_features(n, mask)
            return n, context, value

        x = model.process_latent_in(latents).to(device, dtype)
        with torch.no_grad():
            model.diffusion_model(x, torch.zeros(1, device=device), context=text.to(device, dtype),
                                  transformer_options={"patches": {"attn1_patch": [keep]}})
        found.append(features)
    return found
