"""Which bone is which: names of many conventions, VRM maps, and characters that are no humans."""

import numpy as np
import pytest

from contrapposto.models.avatars import load_avatar
from contrapposto.models.avatars.bone_names import finger_of, read_bone_name, vrm_role
from contrapposto.models.avatars.rig import REQUIRED
from contrapposto.models.checks import InputError

PARTS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
CONVENTIONS = {
    "Mixamo": ("mixamorig:Hips", "mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Neck", "mixamorig:Head", "mixamorig:{Left}{part}",
               ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")),
    "Unreal": ("pelvis", "spine_01", "spine_02", "neck_01", "head", "{part}_{l}",
               ("thigh", "calf", "foot", "ball", "clavicle", "upperarm", "lowerarm", "hand")),
    "Rigify": ("DEF-spine", "DEF-spine.001", "DEF-spine.002", "DEF-spine.004", "DEF-spine.006", "DEF-{part}.{L}",
               ("thigh", "shin", "foot", "toe", "shoulder", "upper_arm", "forearm", "hand")),
    "Character Creator": ("CC_Base_Hip", "CC_Base_Waist", "CC_Base_Spine01", "CC_Base_NeckTwist01", "CC_Base_Head", "CC_Base_{L}_{part}",
                          ("Thigh", "Calf", "Foot", "ToeBase", "Clavicle", "Upperarm", "Forearm", "Hand")),
    "DAZ": ("hip", "abdomenLower", "chestLower", "neckLower", "head", "{l}{part}",
            ("ThighBend", "Shin", "Foot", "Toe", "Collar", "ShldrBend", "ForearmBend", "Hand")),
    "VRoid": ("J_Bip_C_Hips", "J_Bip_C_Spine", "J_Bip_C_Chest", "J_Bip_C_Neck", "J_Bip_C_Head", "J_Bip_{L}_{part}",
              ("UpperLeg", "LowerLeg", "Foot", "ToeBase", "Shoulder", "UpperArm", "LowerArm", "Hand")),
    "Unity": ("Hips", "Spine", "Chest", "Neck", "Head", "{Left}{part}",
              ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")),
    "Biped": ("Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1", "Bip01 Neck", "Bip01 Head", "Bip01 {L} {part}",
              ("Thigh", "Calf", "Foot", "Toe0", "Clavicle", "UpperArm", "Forearm", "Hand")),
    "SMPL": ("m_avg_Pelvis", "m_avg_Spine1", "m_avg_Spine3", "m_avg_Neck", "m_avg_Head", "m_avg_{L}_{part}",
             ("Hip", "Knee", "Ankle", "Foot", "Collar", "Shoulder", "Elbow", "Wrist")),
    "SMPL-X": ("pelvis", "spine1", "spine3", "neck", "head", "{left}_{part}",
               ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")),
}  # fmt: skip


def bone_names(convention):
    *central, pattern, parts = CONVENTIONS[convention]
    names = dict(zip(("pelvis", "spine", "chest", "neck", "head"), central))
    for side in ("left", "right"):
        words = {"left": side, "Left": side.title(), "l": side[0], "L": side[0].upper()}
        names |= {f"{side}_{role}": pattern.format(part=part, **words) for role, part in zip(PARTS, parts)}
    return names


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_known_conventions_map_completely(stick_glb, convention):
    names = bone_names(convention)
    rig = load_avatar(stick_glb(names)).rig
    expected = {role: name for role, name in names.items() if role not in ("spine", "chest")}
    expected |= {"spine2": names["spine"], "spine3": names["chest"]}
    assert {role: rig.names[node] for role, node in rig.humanoid.items()} == expected
    assert np.allclose(rig.R_body, np.eye(3))


@pytest.mark.parametrize("name, expected", [
    ("mixamorig:LeftUpLeg", ("left", "upleg")), ("upperarm_twist_01_l", ("", "")), ("lShldrBend", ("left", "shldr")),
    ("CC_Base_R_ElbowShareBone", ("", "")), ("HandIK.L", ("", "")), ("leftforearm", ("left", "forearm")), ("Left", ("left", "")),
    ("root", ("", "")), ("左腕", ("", "")), ("", ("", "")),
])  # fmt: skip
def test_names_are_taken_apart(name, expected):
    assert read_bone_name(name) == expected


def test_fingers_and_vrm_names():
    names = {"LeftHandIndex1": "index", "f_pinky.01.R": "pinky", "CC_Base_L_Mid1": "middle", "LeftLittleProximal": "pinky", "hand_l": None}
    assert {name: finger_of(read_bone_name(name)[1]) for name in names} == names
    assert vrm_role("leftUpperArm") == "left_shoulder" and vrm_role("rightLittleDistal") == "right_pinky3" and vrm_role("jaw") is None


@pytest.mark.parametrize("version", ["0.x", "1.0"])
def test_vrm_map_wins_over_names(stick_glb, version):
    names = {role: f"bone{i}" for i, role in enumerate(bone_names("Unity"))}
    vrm = dict(zip(names, ("hips", "spine", "chest", "neck", "head")))
    parts = ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")
    vrm |= {f"{side}_{role}": side + part for side in ("left", "right") for role, part in zip(PARTS, parts)}

    def edit(document):
        number = {node["name"]: i for i, node in enumerate(document["nodes"])}
        nodes = {vrm[role]: number[name] for role, name in names.items()}
        document["extensions"] = (
            {"VRM": {"humanoid": {"humanBones": [{"bone": bone, "node": node} for bone, node in nodes.items()]}}} if version == "0.x"
            else {"VRMC_vrm": {"humanoid": {"humanBones": {bone: {"node": node} for bone, node in nodes.items()}}}})

    rig = load_avatar(stick_glb(names, name="stick.vrm", edit=edit)).rig
    assert {rig.names[node] for node in rig.humanoid.values()} == set(names.values())
    assert rig.source == "the file's VRM map"


def test_a_character_that_looks_the_other_way_is_turned(stick_glb):
    names = bone_names("Mixamo")
    def edit(document):
        roots = [i for i in document["scenes"][0]["nodes"] if document["nodes"][i]["name"] == names["pelvis"]]
        document["nodes"].append({"name": "turn", "rotation": [0, 1, 0, 0], "children": roots})
        document["scenes"][0]["nodes"] = [len(document["nodes"]) - 1] + [i for i in document["scenes"][0]["nodes"] if i not in roots]

    avatar = load_avatar(stick_glb(names, edit=edit))
    assert np.allclose(avatar.rig.R_body, np.diag([-1, 1, -1]), atol=1e-6)
    assert avatar.rig.position("left_wrist")[0] > 0.5


def test_feet_on_control_bones_are_brought_back_to_the_shin(stick_glb):
    names = bone_names("Unreal")

    def edit(document):
        number = {node["name"]: i for i, node in enumerate(document["nodes"])}
        shin, foot = document["nodes"][number["calf_l"]], number["foot_l"]
        shin["children"].remove(foot)
        document["nodes"][foot]["translation"] = [0.1, 0.08, -0.02]
        document["scenes"][0]["nodes"].append(foot)

    rig = load_avatar(stick_glb(names, edit=edit)).rig
    assert rig.parent_role("left_ankle") == "left_knee"


def test_missing_arms_are_named(stick_glb):
    names = {role: name for role, name in bone_names("Unreal").items() if role.split("_")[-1] not in ("shoulder", "elbow", "wrist")}
    with pytest.raises(InputError, match=r"bones found: pelvis \(pelvis\).*missed: left_shoulder, left_elbow"):
        load_avatar(stick_glb(names))


def test_a_quadruped_is_refused_by_geometry(stick_glb):
    names = bone_names("Unreal")
    forward = {"spine": (0, 1, 0.3), "chest": (0, 1, 0.6), "neck": (0, 1.05, 0.8), "head": (0, 1.1, 0.9)}
    for side, sign in (("left", 1), ("right", -1)):
        forward |= {f"{side}_collar": (0.05 * sign, 1, 0.6), f"{side}_shoulder": (0.1 * sign, 0.95, 0.65),
                    f"{side}_elbow": (0.1 * sign, 0.5, 0.65), f"{side}_wrist": (0.1 * sign, 0.1, 0.65)}
    with pytest.raises(InputError, match="does not stand upright"):
        load_avatar(stick_glb(names, forward))


def test_one_bone_and_no_bone(stick_glb, triangle_glb):
    with pytest.raises(InputError, match="not a humanoid"):
        load_avatar(stick_glb({"pelvis": "hips"}))
    with pytest.raises(InputError, match="no skeleton"):
        load_avatar(triangle_glb())


def test_limbs_without_length(stick_glb):
    with pytest.raises(InputError, match="without length"):
        load_avatar(stick_glb(bone_names("Unity"), {"left_knee": (0.1, 0.95, 0)}))


def test_fbx_gets_a_remedy(tmp_path):
    (tmp_path / "a.fbx").write_bytes(b"Kaydara FBX Binary")
    with pytest.raises(InputError, match="Convert it to .glb"):
        load_avatar(tmp_path / "a.fbx")


@pytest.mark.parametrize("name, roles, fingers", [("human-male", 22, 30), ("human-zombie", 22, 12), ("robot", 20, 4)])
def test_real_characters_map(real_avatars, name, roles, fingers):
    rig = load_avatar(real_avatars / f"{name}.glb").rig
    assert set(REQUIRED) <= set(rig.humanoid)
    assert len(rig.humanoid) == roles + fingers
    assert sum("1" in role or "2" in role or "3" in role for role in rig.humanoid if "spine" not in role) == fingers


def test_real_non_humanoids_are_refused(real_avatars):
    with pytest.raises(InputError, match="no skeleton"):
        load_avatar(real_avatars / "model-human.glb")
    with pytest.raises(InputError, match=r"bones found: pelvis \(Hips\).*missed: left_hip"):
        load_avatar(real_avatars / "not-a-humanoid-fox.glb")
