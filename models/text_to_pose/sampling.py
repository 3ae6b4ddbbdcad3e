"""Sampling poses from text: encode, diffuse with guidance, decode, put on the floor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from ..checks import InputError, check_choice, check_range
from ..types import BodyPose
from .control import Start, plan_start, seeded_noise
from .diffusion import SAMPLERS, T, sample
from .model import TextToPose
from .network import Prefix
from .prompts import check_prompt, mirror_words
from .text_encoder import TextStates

MAX_COUNT = 256
MAX_GUIDANCE = 20.0
MAX_SIDES = 10.0
MAX_SEED = 2**64 - 1
ROWS_AT_ONCE = 512  # bounds memory; larger jobs run prompt by prompt


def sample_poses(model: TextToPose, texts, count=1, seed=0, steps=None, guidance=None, negative="", text_states=None,
                 negative_states=None, body=None, regularise=0.0, sampler=None, on_step=None, seeds=None, start_pose=None,
                 strength=1.0, keep=(), sides=None) -> BodyPose:
    """Samples poses that fit sentences (PAS, section 3.3), all candidates of a prompt in one batch.

    The same seed gives the same poses on the CPU. Candidate i of a seed starts from the same noise for every prompt and every count.

    Args:
        model: from :func:`load_text_to_pose`.
        texts: one prompt or a list of P prompts, English, at most 1,000 characters each; the first 77 tokens count.
        count: candidates per prompt, 1..256.
        seed: 0..2**64 - 1.
        steps: network evaluations, 1..1000; None takes the number the weights were measured with.
        guidance: classifier-free guidance scale, 0..20; 1 is none, None takes the model's.
        negative: what the pose should not be; empty means no text at all.
        text_states, negative_states: states of ``texts`` and ``negative`` from another encoder, for models made for it.
        body: BodyModel whose feet decide where the floor is; None takes the open body.
        regularise: 0..1, how far poses are pulled through the open pose prior (PAS "6D+VPoser"); for 6D models only.
        sampler: "dpmpp_2m" or "ddim"; None takes the model's.
        on_step: called with (i, n) after each of n steps.
        seeds: one seed per candidate, to redraw some of them: candidate i is the one that ``seed=seeds[i]`` gives at place i.
        start_pose: BodyPose of 1 or P * count rows to start from; its place, heading, shape and hands stay.
        strength: 0 returns the start pose as it is, 1 starts from noise alone.
        keep: parts of the start pose that stay exactly (`control.KEEP_CHOICES`); with ``strength`` 1 all else is new.
        sides: how strongly a prompt that names left or right is told from its mirror image, 0..10; 0 is not at all, None takes the model's.
            Costs half as much again for those prompts. Without effect on ``text_states``, whose words are not known here.

    Returns:
        BodyPose with P * count rows, prompt-major, standing on y = 0.

    Raises:
        InputError: an input is out of range, or the text states do not fit the model.
    """
    texts = [check_prompt(text) for text in (texts if isinstance(texts, (list, tuple)) else [texts])]
    if not texts:
        raise InputError("prompts", texts, "are none", "Give at least one prompt.")
    defaults = model.defaults
    check_range("count", count, 1, MAX_COUNT)
    check_range("seed", seed, 0, MAX_SEED)
    check_range("regularise", regularise, 0, 1)
    steps = check_range("steps", defaults["steps"] if steps is None else steps, 1, T)
    guidance = check_range("guidance", defaults["guidance"] if guidance is None else guidance, 0, MAX_GUIDANCE)
    sampler = check_choice("sampler", defaults["sampler"] if sampler is None else sampler, SAMPLERS)
    sides = check_range("sides", defaults.get("sides", 0.0) if sides is None else sides, 0, MAX_SIDES)
    states, nothing = encode_prompts(model, texts, negative, text_states, negative_states)
    noise = seeded_noise(seed, seeds, count, model.network.config.pose_dim, MAX_SEED).to(model.device)
    begin = plan_start(model, start_pose, strength, keep, len(texts) * count)
    if begin is not None and strength == 0:
        return begin.pose
    at_once = max(1, ROWS_AT_ONCE // count)
    starts = range(0, len(texts), at_once)
    poses = []
    for number, start in enumerate(starts):
        report = on_step and (lambda i, n, number=number: on_step(number * n + i, len(starts) * n))
        rows = slice(start, start + at_once)
        turned = turn_sides(model, texts[rows], sides) if text_states is None else None
        x = sample_vectors(model, states.rows(rows), nothing, noise, steps, guidance, sampler, report,
                           begin and begin.part(start, at_once, count), turned)
        poses.append(model.decode(x.flatten(0, 1)))
    return finish_poses(model, BodyPose.cat(poses), body, regularise, begin)


def encode_prompts(model, texts, negative, text_states, negative_states):
    """Returns the states of the prompts, and of the negative prompt or None for the dropped condition."""
    negative = check_prompt(negative, "negative prompt") if negative.strip() else ""
    if text_states is not None and negative and negative_states is None:
        raise InputError("negative prompt", negative, "is not encoded", "Encode it with the text encoder that encoded the prompt.")
    states = model.encoder(texts) if text_states is None else text_states.to(model.device)
    if len(states) != len(texts):
        raise InputError("text states", len(states), f"do not match the {len(texts)} prompts", "Encode every prompt.")
    nothing = negative_states
    if negative and nothing is None:
        nothing = model.encoder([negative])
    for given in (states, nothing):
        if given is not None:
            model.check_states(given)
    return states, nothing if nothing is None else nothing.to(model.device)


@dataclass(frozen=True)
class Turned:
    """The prompts that name a side, with left and right exchanged.

    Args:
        places: (Q,) their places among the prompts.
        states: of the Q exchanged sentences.
        strength: how strongly a prompt is told from its exchanged sentence.
    """

    places: Tensor
    states: TextStates
    strength: float


def turn_sides(model, texts, strength) -> Turned | None:
    """The mirror images of the prompts that name a side, or None where there is nothing to tell apart."""
    places = [i for i, text in enumerate(texts) if mirror_words(text) != text] if strength else []
    if not places:
        return None
    return Turned(torch.tensor(places, device=model.device), model.encoder([mirror_words(texts[i]) for i in places]), strength)


@torch.no_grad()
def sample_vectors(model, states: TextStates, nothing: TextStates | None, noise: Tensor, steps, guidance, sampler, on_step=None,
                   begin: Start | None = None, turned: Turned | None = None) -> Tensor:
    """Diffuses standardised vectors ``(P, count, D)`` for P prompts from noise ``(count, D)`` or ``(P, count, D)``.

    Guidance (Ho and Salimans 2022) mixes predictions in one batch: ``x_0 = uncond + guidance (cond - uncond)``. For prompts that name a
    side ``strength (cond - turned)`` is added, turned being the prediction for the sentence with left and right exchanged: the two differ
    in nothing but the side. ``begin`` holds the P * count rows to start from.
    """
    network, prompts = model.network, len(states)
    x = noise.expand(prompts, -1, -1)
    every = torch.arange(prompts, device=x.device)
    asked = [(every, network.encode_prefix(states))]
    if guidance != 1:
        asked.append((every, network.null_prefix(prompts) if nothing is None else network.encode_prefix(nothing.rows([0] * prompts))))
    if turned is not None:
        asked.append((turned.places, network.encode_prefix(turned.states)))
    rows, prefix = torch.cat([places for places, _ in asked]), reduce(Prefix.cat, [prefix for _, prefix in asked])

    def predict(x_t, t):
        x_t = x_t.index_select(0, rows)
        cond, *others = network(x_t, torch.full(x_t.shape[:2], t, device=x_t.device), prefix).split([len(places) for places, _ in asked])
        x_0 = cond if guidance == 1 else others[0] + guidance * (cond - others[0])
        if turned is None:
            return x_0
        return x_0.index_add(0, turned.places, cond.index_select(0, turned.places) - others[-1], alpha=turned.strength)

    if begin is None:
        return sample(predict, x, steps, sampler, on_step)
    return sample(predict, x, steps, sampler, on_step, begin.x.unflatten(0, x.shape[:2]), begin.strength, begin.locked())


def finish_poses(model, pose, body, regularise, begin=None):
    """Pulls poses through the prior when asked to, brings back what a start pose keeps, and puts them on the floor."""
    from ..bodies.body import load_body_model, place_on_floor

    if regularise and model.network.config.representation == "rot6d":
        pose = BodyPose(pose.global_orient, model.pose_prior.regularise(pose.body_pose, regularise))
    if begin is not None:
        pose = begin.restore(pose)
    return place_on_floor(load_body_model(device=model.device) if body is None else body, pose)
