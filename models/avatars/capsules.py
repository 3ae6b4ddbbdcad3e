"""A few capsules that stand for an avatar's trunk, thighs and head, and what keeps its hands out of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TRUNK = ("pelvis", "spine1", "spine2", "spine3")
INSIDE = 0.4  # share of a part's skin that may lie inside its capsule: bodies are flatter than capsules
HAND = 0.25  # of the hand's half length: how thick it is


@dataclass(frozen=True, eq=False)
class Capsules:
    """Args:
        start, end: (N,) drivers between which each capsule lies. tip: (N, 3) what is added to the end, at rest, as the end's driver
            carries it: the head has no joint at its top. radius: (N,) file units.
        hands: (2, 3) from each wrist to the middle of its hand at rest, file units; zero without a hand. thick: (2,) file units.
    """

    start: Tensor
    end: Tensor
    tip: Tensor
    radius: Tensor
    hands: Tensor
    thick: Tensor

    def push_out(self, goals: Tensor, hands: Tensor, joints: Tensor, D: Tensor, scale: float) -> Tensor:
        """Returns the goals (B, E, 3), the two wrists first, with wrists moved so far that no hand is inside a capsule.

        Args:
            hands: (B, 2, 3) posed vectors from wrist to the middle of the hand. joints: (B, D, 3) posed drivers.
            D: (B, D, 3, 3) their turns.
        """
        a, b = joints[:, self.start], joints[:, self.end] + scale * (D[:, self.end] @ self.tip[..., None])[..., 0]
        for _ in range(2):  # out of one capsule may be into the next
            middle = (goals[:, :2] + hands)[:, :, None]
            along, axis = middle - a[:, None], (b - a)[:, None]
            share = ((along * axis).sum(-1) / (axis * axis).sum(-1).clamp(min=1e-12)).clamp(0, 1)
            away = along - share[..., None] * axis
            distance = away.norm(dim=-1)
            depth, which = (scale * (self.radius + self.thick[:, None]) - distance).max(-1)
            way = away.gather(2, which[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
            way = way / way.norm(dim=-1, keepdim=True).clamp(min=1e-6)
            goals = torch.cat([goals[:, :2] + way * depth.clamp(min=0)[..., None], goals[:, 2:]], 1)
        return goals


def fit_capsules(avatar, both) -> Capsules:
    """Measures the capsules on the avatar's skin at rest."""
    of, rest = both.of, both.rest
    owner = avatar.slot_driver[avatar.weights.argmax(1)]
    top = "neck" if "neck" in of else "left_shoulder"
    spans = [("pelvis", top, TRUNK)] + [(f"{s}_hip", f"{s}_knee", (f"{s}_hip",)) for s in ("left", "right")]
    spans = [(a, b, parts) for a, b, parts in spans if a in of and b in of]
    tips = [torch.zeros_like(rest[0]) for _ in spans]
    if "head" in of:
        spans.append(("head", "head", ("head",)))
        skull = avatar.rest[_owned(owner, of, ("head",))]
        tips.append(skull.mean(0) - rest[of["head"]] if len(skull) else torch.zeros_like(rest[0]))
    radii = [_radius(avatar.rest[_owned(owner, of, parts)], rest[of[a]], rest[of[b]] + tip) for (a, b, parts), tip in zip(spans, tips)]
    hands, thick = [], []
    for side in ("left", "right"):
        mine = avatar.rest[_owned(owner, of, [r for r in of if r.startswith(side) and _of_hand(r)])]
        wrist = rest[of[f"{side}_wrist"]] if f"{side}_wrist" in of else None
        hands.append(torch.zeros_like(rest[0]) if wrist is None or not len(mine) else mine.mean(0) - wrist)
        thick.append(HAND * hands[-1].norm())
    numbers = [torch.tensor([of[span[i]] for span in spans], device=rest.device) for i in (0, 1)]
    return Capsules(*numbers, torch.stack(tips), torch.stack(radii), torch.stack(hands), torch.stack(thick))


def _of_hand(role):
    return role.endswith("wrist") or role[-1] in "123" and "spine" not in role and "twist" not in role


def _owned(owner, of, roles):
    return torch.isin(owner, owner.new_tensor([of[role] for role in roles if role in of]))


def _radius(points, start, end):
    if len(points) < 8:
        return points.new_zeros(())
    axis = end - start
    share = ((points - start) @ axis / (axis @ axis).clamp(min=1e-12)).clamp(0, 1)
    return (points - start - share[:, None] * axis).norm(dim=-1).quantile(INSIDE)
