"""Which bone is which, told from the skeleton's shape alone: chains, mirror symmetry and the order of heights. Names are not read.

Two pairs of chains that mirror each other are legs and arms: the legs leave the skeleton nearer to its root. Along each chain the
joints are those whose lengths are a human's. Toes tell front from back, and so left from right.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .bone_names import FINGERS

MIRROR_TOLERANCE = 0.12  # of a chain's length: how far its mirror image may lie from the other side's chain
ANKLE_HEIGHT = 0.08  # of the hip's height
FOREARM_SHARE = 0.95  # forearm over upper arm
SHOULDER_ACROSS = 0.22  # of the leg's length: the shoulder's distance from the middle
MAX_BONES = 600  # searching costs the square of the branches; larger skeletons are read by name only


def map_by_geometry(parents, positions, used, skin, owner):
    """Finds a standing human in a skeleton.

    Args:
        parents: (N,) node above, -1 at roots. positions: (N, 3) at rest.
        used: nodes that move some vertex, themselves or through a node below.
        skin: (V, 3) rest vertices. owner: (V,) the node that moves each most.

    Returns:
        ({role: node}, notes): empty when no human is seen; the notes say what was assumed.
    """
    if len(used) > MAX_BONES:
        return {}, ()
    tree = _Tree(_with_feet_on_shins(parents, positions, used), positions, used)
    pairs = _mirrored_pairs(tree)
    best = max(((legs, arms) for legs in pairs for arms in pairs if _is_human(tree, legs, arms)),
               key=lambda both: both[0].length + both[1].length, default=None)
    if best is None:
        return {}, ()
    legs, arms = best
    up = _unit(positions[arms.node] - _tips(tree, legs))
    sides = [dict(zip(("hip", "knee", "ankle", "foot"), _leg(tree, path, up))) for path in legs.paths]
    if any(len(side) < 3 for side in sides):
        return {}, ()
    (left, right), note = _left_first(tree, sides, up, skin, owner)
    found = {"pelvis": legs.node}
    found |= {f"left_{part}": node for part, node in left.items()} | {f"right_{part}": node for part, node in right.items()}
    lateral = positions[left["hip"]] - positions[right["hip"]]
    for path in arms.paths:
        side = "left" if (positions[path[-1]] - positions[arms.node]) @ lateral > 0 else "right"
        across = np.abs((tree.at - (positions[left["hip"]] + positions[right["hip"]]) / 2) @ _unit(lateral)) / legs.length
        arm = _arm(tree, path, across)
        found |= {f"{side}_{part}": node for part, node in arm.items()}
        if "wrist" in arm:
            found |= {f"{side}_{finger}": node for finger, node in _fingers(tree, arm["wrist"], set(owner.tolist())).items()}
    head = _head(tree, arms, up)
    return found | ({"head": head} if head is not None else {}), (note,)


def _with_feet_on_shins(parents, positions, used):
    """``parents`` with feet that hang on control bones moved to the ends of the two-bone chains that stop above them."""
    parents = np.array(parents)
    kids = {node: [n for n in used if parents[n] == node] for node in used}
    for end in [node for node in used if not kids[node] and parents[node] in kids]:
        bone = positions[end] - positions[parents[end]]
        length = np.linalg.norm(bone)
        for foot in used:
            step = positions[foot] - positions[end]
            near = 0.6 * length < np.linalg.norm(step) < 2 * length and step @ bone > 0.9 * length * np.linalg.norm(step)
            if near and foot != end and not kids[foot] and len(kids.get(int(parents[foot]), ())) > 2:
                parents[foot] = end
    return parents


class _Tree:
    """The used part of a skeleton: children, and for each node its chain to the farthest tip."""

    def __init__(self, parents, positions, used):
        self.at, self.parents = np.asarray(positions, float), parents
        self.children = {node: [] for node in used}
        for node in sorted(used):
            if int(parents[node]) in self.children:
                self.children[int(parents[node])].append(node)
        self.chain, self.reach = {}, {}
        order = [node for node in sorted(used) if int(parents[node]) not in self.children]
        for node in order:
            order.extend(self.children[node])
        for node in reversed(order):
            steps = {child: self.reach[child] + np.linalg.norm(self.at[child] - self.at[node]) for child in self.children[node]}
            farthest = max(steps, key=steps.get, default=None)
            self.reach[node] = steps.get(farthest, 0.0)
            self.chain[node] = [node] if farthest is None else [node, *self.chain[farthest]]

    def below(self, node):
        nodes = [node]
        for node in nodes:
            nodes.extend(self.children[node])
        return nodes


class _Pair:
    """Two chains that leave ``node`` and mirror each other: ``paths``, their ``length`` and the unit ``normal`` of the mirror."""

    def __init__(self, node, paths, length, normal):
        self.node, self.paths, self.length, self.normal = node, paths, length, normal


def _mirrored_pairs(tree):
    pairs = []
    for node, children in tree.children.items():
        long = [child for child in children if len(tree.chain[child]) > 1]
        for a, b in combinations(long, 2):
            pair = _mirrored(tree, node, tree.chain[a], tree.chain[b])
            if pair is not None:
                pairs.append(pair)
    longest = max((pair.length for pair in pairs), default=0.0)
    return [pair for pair in pairs if pair.length > 0.3 * longest]


def _mirrored(tree, node, first, second):
    """The pair of two chains with like lengths whose mirror images coincide, or None."""
    lengths = [tree.reach[path[0]] for path in (first, second)]
    if min(lengths) < 1e-9 or min(lengths) < 0.8 * max(lengths):
        return None
    a, b = tree.at[first], tree.at[second]
    normal = _unit(_along(a, 0.6) - _along(b, 0.6))
    count = min(len(a), len(b), 4)
    middle = (a[:count] + b[:count]).mean(0) / 2
    image = a - 2 * ((a - middle) @ normal)[:, None] * normal
    off = [np.linalg.norm(_along(image, share) - _along(b, share)) for share in (0.0, 0.3, 0.6)]
    apart = np.linalg.norm(_along(a, 0.6) - _along(b, 0.6)) > 0.05 * max(lengths)
    return _Pair(node, (first, second), max(lengths), normal) if apart and max(off) < MIRROR_TOLERANCE * max(lengths) else None


def _along(points, share):
    """The point at a share of a polyline's length."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    target, i = share * lengths.sum(), 0
    while i < len(lengths) - 1 and target > lengths[i]:
        target, i = target - lengths[i], i + 1
    return points[i] + (points[i + 1] - points[i]) * min(1.0, target / max(lengths[i], 1e-12))


def _is_human(tree, legs, arms):
    """Whether the arms leave the skeleton above the legs, in a body that stands."""
    if set(legs.paths[0]) & set(arms.paths[0]) or set(legs.paths[0]) & set(arms.paths[1]) or arms.length < 0.4 * legs.length:
        return False
    if any(len(path) < 3 for path in legs.paths) or abs(legs.normal @ arms.normal) < 0.9:
        return False
    above = tree.below(legs.node)
    shoulders = np.mean([_along(tree.at[path], 0.15) for path in arms.paths], 0)
    hips = np.mean([tree.at[path[0]] for path in legs.paths], 0)
    trunk, down = shoulders - hips, _tips(tree, legs) - hips
    upright = -trunk @ down > 0.7 * np.linalg.norm(trunk) * np.linalg.norm(down)
    return arms.node in above and upright and 0.2 < np.linalg.norm(trunk) / legs.length < 1.5


def _tips(tree, pair):
    return np.mean([_along(tree.at[path], 0.8) for path in pair.paths], 0)


def _leg(tree, path, up):
    """Hip, knee, ankle and, where there is one, the ball of the foot."""
    at = tree.at[path]
    heights = at @ up
    tall = max(heights[0] - heights.min(), 1e-12)

    def cost(i, j, k):
        thigh, shin = at[j] - at[i], at[k] - at[j]
        lengths = np.linalg.norm(thigh), np.linalg.norm(shin)
        if min(lengths) < 0.05 * tall:
            return np.inf
        lean = 2 - (thigh @ -up) / lengths[0] - (shin @ -up) / lengths[1]
        ankle = (heights[k] - heights.min()) / tall - (ANKLE_HEIGHT if k + 1 < len(path) else 0)
        return np.log(lengths[0] / lengths[1]) ** 2 + lean + 8 * ankle**2 + 0.3 * i

    best = min(combinations(range(len(path)), 3), key=lambda triple: cost(*triple))
    if not np.isfinite(cost(*best)):
        return []
    return [path[i] for i in best] + ([path[best[2] + 1]] if best[2] + 1 < len(path) else [])


def _arm(tree, path, across):
    """Part -> node: shoulder and elbow, with collar and wrist where the chain is long enough.

    Args:
        across: (N,) every node's distance from the mirror, in leg lengths; it tells a shoulder from a collar.
    """
    at = tree.at[path]
    total = np.linalg.norm(np.diff(at, axis=0), axis=1).sum()
    branches = [i for i, node in enumerate(path) if len(tree.children[node]) > 1 and i > 1]

    def cost(i, j, k):
        upper, fore = np.linalg.norm(at[j] - at[i]), np.linalg.norm(at[k] - at[j])
        if min(upper, fore) < 0.1 * total:
            return np.inf
        hand = 0.0 if not branches else 0.2 * min(abs(k - b) for b in branches)
        place = 0.5 * np.log(max(across[path[i]], 1e-3) / SHOULDER_ACROSS) ** 2
        return np.log(fore / upper / FOREARM_SHARE) ** 2 + hand + place + 0.3 * (1 - (upper + fore) / total)

    best = min(combinations(range(len(path)), 3), key=lambda triple: cost(*triple), default=None)
    if best is None or not np.isfinite(cost(*best)):
        return dict(zip(("shoulder", "elbow"), path))
    arm = dict(zip(("shoulder", "elbow", "wrist"), (path[i] for i in best)))
    return arm | ({"collar": path[best[0] - 1]} if best[0] > 0 else {})


def _left_first(tree, sides, up, skin, owner):
    """The two legs, the body's left one first, and how front was told from back."""
    forward, how = np.zeros(3), "toe bones"
    for side in sides:
        if "foot" in side:
            forward = forward + tree.at[side["foot"]] - tree.at[side["ankle"]]
    forward = forward - (forward @ up) * up
    size = np.linalg.norm(tree.at[sides[0]["knee"]] - tree.at[sides[0]["ankle"]])
    feet = [skin[np.isin(owner, tree.below(side["ankle"]))] for side in sides]
    if np.linalg.norm(forward) < 0.1 * size and min(map(len, feet)) > 0:
        how = "the shape of the feet"
        forward = sum(points.mean(0) - tree.at[side["ankle"]] for points, side in zip(feet, sides))
        forward = forward - (forward @ up) * up
    if np.linalg.norm(forward) < 0.05 * size:
        how, forward = "the convention that characters face +Z", np.array([0.0, 0.0, 1.0])
    lateral = np.cross(up, forward)
    first, second = sides
    swapped = (tree.at[first["hip"]] - tree.at[second["hip"]]) @ lateral < 0
    return ((second, first) if swapped else (first, second)), f"left and right were told by {how}"


def _head(tree, arms, up):
    """The head: where the chain that rises between the arms branches, else the bone before its tip, or the last of two."""
    taken = {path[0] for path in arms.paths}
    rising = [child for child in tree.children[arms.node] if child not in taken
              and max((tree.at[n] - tree.at[arms.node]) @ up for n in tree.below(child)) > 0]
    if not rising:
        return None
    path = tree.chain[max(rising, key=lambda child: max((tree.at[n] - tree.at[arms.node]) @ up for n in tree.below(child)))]
    branch = next((node for node in path if len(tree.children[node]) > 1), None)
    return branch if branch is not None else path[-2] if len(path) > 2 else path[-1]


def _fingers(tree, wrist, owners):
    """Finger joint ("index1") -> node, for up to five chains with a thumb that stands apart. Tips that move no skin are left out."""
    chains = [_straight(tree, child) for child in tree.children[wrist]]
    chains = [chain[:-1] if chain[-1] not in owners else chain for chain in chains]
    chains = [chain for chain in chains if len(chain) > 1]
    if not 2 <= len(chains) <= 5:
        return {}
    ways = np.stack([_unit(tree.at[chain[-1]] - tree.at[chain[0]]) for chain in chains])
    lean = [ways[i] @ _unit(np.delete(ways, i, 0).sum(0)) for i in range(len(chains))]
    tips = np.stack([tree.at[chain[-1]] for chain in chains]) - tree.at[wrist]
    roots = np.stack([tree.at[chain[0]] for chain in chains]) - tree.at[wrist]
    early = np.linalg.norm(roots, axis=1) / np.linalg.norm(tips, axis=1).max()
    thumb = int(np.argmin(lean + early))
    if lean[thumb] > 0.97:
        return {}
    row = [i for i in range(len(chains)) if i != thumb]
    tips_too = min(len(chains[i]) for i in row) == 3 or len(chains[thumb]) > 3  # else a fourth bone is one within the palm
    chains = [chain[:3] if tips_too else chain[-3:] for chain in chains]
    palm = tips[row].mean(0)
    side = _unit(roots[thumb] + 0.5 * tips[thumb] - palm * ((roots[thumb] + 0.5 * tips[thumb]) @ palm) / (palm @ palm))
    row.sort(key=lambda i: -(tree.at[chains[i][0]] - tree.at[wrist]) @ side)
    order = dict(zip(("index", "middle", "ring", "pinky"), row)) | {"thumb": thumb}
    return {f"{finger}{n + 1}": node for finger in FINGERS if finger in order for n, node in enumerate(chains[order[finger]])}


def _straight(tree, node):
    chain = [node]
    while len(tree.children[chain[-1]]) == 1:
        chain.append(tree.children[chain[-1]][0])
    return chain


def _unit(vector):
    return vector / max(np.linalg.norm(vector), 1e-12)
