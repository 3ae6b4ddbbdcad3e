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
    "MakeHuman": ("root", "spine05", "spine01", "neck01", "head", "{part}.{L}",
                  ("upperleg01", "lowerleg01", "foot", "toe1-1", "clavicle", "upperarm01", "lowerarm01", "wrist")),
    "MMD": ("センター", "上半身", "上半身2", "首", "頭", "{左}{part}", ("足", "ひざ", "足首", "つま先", "肩", "腕", "ひじ", "手首")),
    "a prefix": ("Hero Hips", "Hero Spine", "Hero Chest", "Hero Neck", "Hero Head", "Hero{Left}{part}",
                 ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")),
    "lower case": ("hip", "abdomen", "chest", "neck", "head", "{l}{part}",
                   ("thigh", "shin", "foot", "toe", "collar", "shoulder", "forearm", "hand")),
    "SMPL-X": ("pelvis", "spine1", "spine3", "neck", "head", "{left}_{part}",
               ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")),
}  # fmt: skip


def bone_names(convention):
    *central, pattern, parts = CONVENTIONS[convention]
    names = dict(zip(("pelvis", "spine", "chest", "neck", "head"), central))
    for side in ("left", "right"):
        words = {"左": {"left": "左", "right": "右"}[side], "left": side, "Left": side.title(), "l": side[0], "L": side[0].upper()}
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
    ("root", ("", "")), ("左腕", ("left", "upperarm")), ("右足首D", ("right", "foot")),
    ("左腕捩1", ("", "")), ("全ての親", ("", "")), ("", ("", "")),
    ("rshoulder", ("right", "shoulder")), ("lhand", ("left", "hand")),
    ("finger2-1.r", ("right", "index")), ("finger5-3.L", ("left", "pinky")),
    ("Bip01 L Finger0", ("left", "thumb")), ("Bip01 R Finger42", ("right", "pinky")), ("左人指２", ("left", "index")),
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


def humanoid_names(rig):
    return {role: rig.names[node] for role, node in rig.humanoid.items()}


@pytest.mark.parametrize("turn", [[0, 0, 0, 1], [0, 1, 0, 0], [0.5**0.5, 0, 0, 0.5**0.5]], ids=["as is", "backwards", "Z up"])
def test_meaningless_names_map_by_geometry(stick_glb, turn):
    known = bone_names("Unity")
    names = {role: f"bone {i * 7 % 21}" for i, role in enumerate(known)}

    def edit(document):
        roots = document["scenes"][0]["nodes"]
        document["nodes"].append({"name": "turn", "rotation": turn, "children": list(roots)})
        document["scenes"][0]["nodes"] = [len(document["nodes"]) - 1]

    found, expected = (load_avatar(stick_glb(n, edit=edit)).rig for n in (names, known))
    assert humanoid_names(found) == {role: names[{v: k for k, v in known.items()}[name]] for role, name in humanoid_names(expected).items()}
    assert np.allclose(found.R_body, expected.R_body) and found.source == "geometry"
    assert "guessed by geometry" in found.notes[0] and "left_knee = bone" in found.notes[0] and "toe bones" in found.notes[1]


@pytest.mark.parametrize("seed", range(4))
def test_wrong_names_are_found_out(stick_glb, seed):
    known = bone_names("Mixamo")
    order = np.random.default_rng(seed).permutation(len(known))
    names = dict(zip(known, np.array(list(known.values()))[order].tolist()))
    rig = load_avatar(stick_glb(names)).rig
    assert rig.source == "geometry" and {names[role] for role in ("left_knee", "right_elbow")} == {
        humanoid_names(rig)[role] for role in ("left_knee", "right_elbow")}


def test_exchanged_sides_are_found_out(stick_glb):
    known = bone_names("Unreal")
    other = {"left": "right", "right": "left"}
    names = {role: known[role.replace(s, other[s])] if (s := role.split("_")[0]) in other else known[role] for role in known}
    rig = load_avatar(stick_glb(names)).rig
    assert rig.position("left_wrist")[0] > 0.5 and "left and right are exchanged" in rig.notes[0]


def test_what_names_miss_is_guessed_and_told(stick_glb):
    names = bone_names("Mixamo") | {"left_knee": "gizmo", "right_elbow": "gadget"}
    rig = load_avatar(stick_glb(names)).rig
    assert humanoid_names(rig)["left_knee"] == "gizmo" and humanoid_names(rig)["right_elbow"] == "gadget"
    assert rig.source == "bone names and geometry" and "left_knee = gizmo" in rig.notes[0] and "right_elbow = gadget" in rig.notes[0]


def test_feet_without_toes_tell_the_front_by_their_skin(stick_glb):
    names = {role: f"b{i}" for i, role in enumerate(bone_names("Unity")) if not role.endswith("foot")}
    assert "shape of the feet" in load_avatar(stick_glb(names)).rig.notes[1]


@pytest.mark.parametrize("name, least", [("human-male", 52), ("human-zombie", 34)])
def test_real_characters_map_without_their_names(real_avatars, name, least):
    from contrapposto.models.avatars.gltf import read_gltf
    from contrapposto.models.avatars.rig import build_rig

    scene = read_gltf(real_avatars / f"{name}.glb")
    named = build_rig(scene, name)
    scene.names = [f"bone{i}" for i in range(len(scene.names))]
    blind = build_rig(scene, name)
    assert blind.humanoid == named.humanoid and len(blind.humanoid) == least


def test_a_bone_map_overrides(stick_glb, tmp_path):
    names = {role: f"b{i}" for i, role in enumerate(bone_names("Unity"))}
    path = stick_glb(names)
    inverse = {name: role for role, name in names.items()}
    given = {"left_wrist": None, "neck": names["head"], "head": None}
    for bone_map in (given, __import__("json").dumps(given)):
        rig = load_avatar(path, bone_map=bone_map).rig
        assert "left_wrist" not in rig.humanoid and "head" not in rig.humanoid and inverse[humanoid_names(rig)["neck"]] == "head"
        assert "3 joints were set by the bone map" in rig.notes[-1]
    beside = tmp_path / "stick.bones.json"
    beside.write_text('{"leftHand": null}')  # VRM's names do as well
    assert "left_wrist" not in load_avatar(path).rig.humanoid
    assert "left_wrist" in load_avatar(path, bone_map={"head": names["head"]}).rig.humanoid  # what is given wins over the file
    beside.unlink()


@pytest.mark.parametrize("bone_map, said", [
    ("{", "is not JSON"), ("[1]", "not an object"), ({"left_sholder": "b1"}, "not a joint of the body.*left_shoulder"),
    ({"head": "Hed"}, "no bone of this character.*Head"), ({"head": 3}, "not a bone's name"),
    ({"head": "Neck", "neck": "Neck"}, "two joints"), ("x" * 300_000, "longer than"),
])  # fmt: skip
def test_mistakes_in_a_bone_map_are_named(stick_glb, bone_map, said):
    with pytest.raises(InputError, match=f"(?s)bone map.*{said}"):
        load_avatar(stick_glb(bone_names("Unity")), bone_map=bone_map)


def test_a_bone_map_that_is_not_there(stick_glb, tmp_path):
    with pytest.raises(InputError, match="bone map.*does not exist"):
        load_avatar(stick_glb(bone_names("Unity")), bone_map=tmp_path / "no.json")


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
