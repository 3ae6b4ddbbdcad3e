import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from contrapposto.models.bodies import JOINT_NAMES, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion.bvh import MAX_JOINTS, parse_bvh, read_bvh
from contrapposto.models.motion.bvh_writer import BONE_NAMES, rotmat_to_zxy, write_bvh
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 1 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Left Leg
  {
    OFFSET 1 0 0
    CHANNELS 3 Yrotation Xrotation Zrotation
    End Site
    {
      OFFSET 0 -2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 1 0  0 0 0  0 0 0
5 1 2  90 0 0  10 20 30
"""


def test_a_small_file_is_read_as_written():
    motion = parse_bvh(SMALL)
    assert motion.names == ("Hips", "Left Leg") and motion.parents == (-1, 0) and len(motion) == 2
    assert motion.fps == 30.0  # few digits in the file
    assert motion.ends[1].tolist() == [0, -2, 0]
    rotmats, positions = motion.world()
    assert torch.allclose(positions[1, 0], torch.tensor([5.0, 1, 2]).double())
    assert torch.allclose(positions[1, 1], torch.tensor([5.0, 2, 2]).double(), atol=1e-6)  # +X turned by 90 degrees about Z
    expected = (Rotation.from_euler("Z", 90, degrees=True) * Rotation.from_euler("YXZ", [10, 20, 30], degrees=True)).as_matrix()
    assert np.allclose(rotmats[1, 1], expected, atol=1e-6)


def test_line_ends_capitals_and_byte_order_marks_do_not_matter(tmp_path):
    text = SMALL.replace("\n", "\r\n").replace("ROOT", "Root").replace("OFFSET", "Offset").replace("Hips\r\n{", "Hips{")
    text = text.replace("MOTION", "Motion")
    (tmp_path / "a.bvh").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert torch.equal(read_bvh(tmp_path / "a.bvh").rotmats, parse_bvh(SMALL).rotmats)


def test_positions_may_be_given_relative_to_the_offset():
    absolute = SMALL.replace("OFFSET 1 0 0\n    CHANNELS 3", "OFFSET 1 0 0\n    CHANNELS 6 Xposition Yposition Zposition")
    absolute = absolute.replace("0 0 0  0 0 0\n", "0 0 0  1 0 0 0 0 0\n").replace("10 20 30", "1 0 0 10 20 30")
    relative = absolute.replace("0 0 0  1 0 0", "0 0 0  0 0 0").replace("1 0 0 10", "0 0 0 10")
    assert torch.equal(parse_bvh(absolute).world()[1], parse_bvh(SMALL).world()[1])
    assert torch.equal(parse_bvh(relative).world()[1], parse_bvh(SMALL).world()[1])


@pytest.mark.parametrize("change, message", [
    (("0 0 0  0 0 0\n", "0 0 0  0 0\n"), "promises 2 frames of 9 channels but holds 17"),
    (("Frames: 2", "Frames: 3"), "promises 3 frames"),
    (("Frames: 2", "Frames: 0"), "has no frames"),
    (("Frames: 2", "Frames: two"), "not numbers"),
    (("0.0333333", "0"), "frame time of 0"),
    (("0.0333333", "nan"), "frame time of nan"),
    (("0.0333333", "-0.1"), "frame time of -0.1"),
    (("10 20 30", "10 nan 30"), "NaN"),
    (("10 20 30", "10 1e300 30"), "absurd"),
    (("10 20 30", "10 x 30"), "no number"),
    (("MOTION", "NOTION"), "no MOTION"),
    (("CHANNELS 3 Y", "CHANNELS 3 W"), "cannot be read"),
    (("CHANNELS 3", "CHANNELS x"), "cannot be read"),
    (("CHANNELS 3", "CHANNELS 99999999"), "cannot be read"),
    (("OFFSET 1 0 0", "OFFSET 1 0 inf"), "not 3 finite numbers"),
    (("}\n}\nMOTION", "}\nMOTION"), "ends inside its skeleton"),
    (("JOINT Left Leg\n  {", "JOINT Left Leg"), "expected"),
    (("HIERARCHY\nROOT Hips", "HIERARCHY\nHips"), "expected"),
    (("Frame Time", "Time"), "does not say"),
])
def test_each_defect_is_named(change, message):
    assert change[0] in SMALL
    with pytest.raises(InputError, match="motion file.*" + message):
        parse_bvh(SMALL.replace(*change))


def test_files_that_are_no_bvh(tmp_path):
    for name, content, message in (("a.bvh", b"", "is empty"), ("b.bvh", b"\x00\xff" * 50, "no MOTION"), ("c.txt", b"x", "has the type")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_bvh(tmp_path / name)


def test_sizes_are_bounded():
    deep = "HIERARCHY\n" + "ROOT a\n{\n" * 1 + "JOINT b\n{\n" * (MAX_JOINTS + 1)
    with pytest.raises(InputError, match="more than 1024 joints"):
        parse_bvh(deep + "MOTION\nFrames: 1\nFrame Time: 1\n0")
    with pytest.raises(InputError, match="too many to read at once"):
        parse_bvh(SMALL.replace("Frames: 2", "Frames: 999999999"))


def test_zxy_angles_give_the_rotation_back_even_at_the_pole():
    rotmats = torch.from_numpy(Rotation.random(200, random_state=1).as_matrix())[:, None]
    pole = rotvec_to_rotmat(torch.tensor([[torch.pi / 2, 0, 0], [-torch.pi / 2, 0, 0]]).double())[:, None]
    for case in (rotmats, pole):
        angles = rotmat_to_zxy(case.numpy())
        assert np.allclose(Rotation.from_euler("ZXY", angles[:, 0]).as_matrix(), case[:, 0], atol=1e-7)


def test_a_spin_is_written_without_jumps():
    turn = rotvec_to_rotmat(torch.stack([torch.zeros(50), torch.linspace(0, 12, 50), torch.zeros(50)], -1))[:, None]
    angles = rotmat_to_zxy(turn.double().numpy())
    assert np.abs(np.diff(angles, axis=0)).max() < 0.3


@pytest.mark.parametrize("unit, scale", [("cm", 100), ("m", 1)])
def test_an_independent_reader_finds_the_joints_where_the_body_has_them(tmp_path, body, motion, unit, scale):
    bvhio = pytest.importorskip("bvhio")
    write_bvh(tmp_path / "walk.bvh", motion, body, unit)
    root = bvhio.readAsHierarchy(str(tmp_path / "walk.bvh"))
    joints = pose_body(body, motion).joints
    for frame in (0, 13, 39):
        root.loadPose(frame)
        for joint, _, _ in root.layout():
            name = next(role for role, bone in BONE_NAMES.items() if bone == joint.Name)
            found = np.array(list(joint.PositionWorld)) / scale
            assert np.allclose(found, joints[frame, JOINT_NAMES.index(name)], atol=1e-4), (frame, name)


def test_nothing_is_written_when_there_is_nothing(tmp_path, body):
    with pytest.raises(InputError, match="motion 0"):
        write_bvh(tmp_path / "a.bvh", BodyPose.rest(1)[slice(0, 0)], body)
    with pytest.raises(InputError, match="unit"):
        write_bvh(tmp_path / "a.bvh", BodyPose.rest(1), body, "miles")
    assert list(tmp_path.iterdir()) == []


def test_long_motions_are_read_in_pieces(body):
    rows = SMALL[SMALL.rindex("0 1 0  0 0 0  0 0 0") :]
    motion = parse_bvh(SMALL.replace(rows, rows * 1500).replace("Frames: 2", "Frames: 3000"))
    assert len(motion) == 3000
    assert torch.equal(motion.rotmats[2000:2002], parse_bvh(SMALL).rotmats)
