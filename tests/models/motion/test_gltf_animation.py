import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from contrapposto.models.avatars import load_avatar, retarget_pose
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.bodies import pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.motion.gltf_animation import write_animated_glb


def accessor(gltf, index):
    """Values of an accessor, read with pygltflib's structures and numpy."""
    entry = gltf.accessors[index]
    view = gltf.bufferViews[entry.bufferView]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry.type]
    data = gltf.binary_blob()
    dtype = {5126: np.float32, 5123: np.uint16, 5121: np.uint8, 5125: np.uint32}[entry.componentType]
    return np.frombuffer(data, dtype, entry.count * width, (view.byteOffset or 0) + (entry.byteOffset or 0)).reshape(entry.count, width)


def play(gltf, frame):
    """World matrices of all nodes at a key frame."""
    local = []
    for node in gltf.nodes:
        assert node.matrix is None, "animated nodes must not have a matrix"
        local.append([node.translation or [0, 0, 0], node.rotation or [0, 0, 0, 1]])
    animation = gltf.animations[0]
    for channel in animation.channels:
        values = accessor(gltf, animation.samplers[channel.sampler].output)
        local[channel.target.node][0 if channel.target.path == "translation" else 1] = values[frame]
    world = [None] * len(local)
    parents = {child: i for i, node in enumerate(gltf.nodes) for child in node.children or []}

    def find(i):
        if world[i] is None:
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = Rotation.from_quat(local[i][1]).as_matrix(), local[i][0]
            world[i] = find(parents[i]) @ matrix if i in parents else matrix
        return world[i]

    return np.stack([find(i) for i in range(len(local))])


def skinned(gltf, world):
    """All vertices of a skinned GLB under world matrices of its nodes."""
    joints = gltf.skins[0].joints
    inverse = accessor(gltf, gltf.skins[0].inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
    maps, result = world[joints] @ inverse, []
    for primitive in gltf.meshes[0].primitives:
        at = primitive.attributes
        points, slots = accessor(gltf, at.POSITION), accessor(gltf, at.JOINTS_0)
        weights = accessor(gltf, at.WEIGHTS_0).astype(np.float64) / 65535
        blended = np.einsum("vk,vkij->vij", weights, maps[slots])
        result.append(np.einsum("vij,vj->vi", blended[:, :3, :3], points) + blended[:, :3, 3])
    return np.concatenate(result)


@pytest.fixture(scope="session")
def pygltflib():
    return pytest.importorskip("pygltflib")


def test_an_independent_reader_finds_the_bodys_joints_and_skin(tmp_path, body, motion, pygltflib):
    posed = pose_body(body, motion)
    write_animated_glb(tmp_path / "a.glb", posed, 30)
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    times = accessor(gltf, gltf.animations[0].samplers[0].input)[:, 0]
    assert np.allclose(times, np.arange(40) / 30, atol=1e-5)
    for frame in (0, 17, 39):
        world = play(gltf, frame)
        assert np.abs(world[:24, :3, 3] - posed.joints[frame].numpy()).max() < 1e-4
    error = np.abs(skinned(gltf, play(gltf, 17)) - posed.vertices(slice(17, 18))[0].numpy())
    assert error.mean() < 5e-4 and error.max() < 0.01  # of more than four influences a GLB keeps the four largest


def test_an_independent_reader_finds_the_avatars_joints_and_skin(tmp_path, body, motion, pygltflib):
    posed = retarget_pose(motion, body, load_avatar())
    write_animated_glb(tmp_path / "a.glb", posed, 24)
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    for frame in (0, 17, 39):
        count = posed.joints.shape[1]
        assert np.abs(play(gltf, frame)[:count, :3, 3] - posed.joints[frame].numpy()).max() < 1e-4
    theirs = torch.from_numpy(skinned(gltf, play(gltf, 17))).float()
    ours = posed.mesh(slice(17, 18)).vertices[0]
    assert torch.cdist(theirs[::50], ours).amin(1).max() < 3e-3  # every written vertex lies where the figure has one
    images = len(gltf.images or [])
    assert images == sum(material.texture is not None for material in posed.avatar.materials) or images <= len(posed.avatar.materials)


def test_our_own_reader_takes_the_file_as_an_avatar(tmp_path, body, motion):
    write_animated_glb(tmp_path / "a.glb", retarget_pose(motion, body, load_avatar()))
    scene = read_gltf(tmp_path / "a.glb")
    assert len(scene.parts) >= 1 and scene.parts[0].skinned
    again = load_avatar(tmp_path / "a.glb")
    assert set(again.rig.humanoid) == set(load_avatar().rig.humanoid)


def test_one_row_is_a_still_pose(tmp_path, body, motion, pygltflib):
    write_animated_glb(tmp_path / "a.glb", pose_body(body, motion[3]))
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    assert accessor(gltf, gltf.animations[0].samplers[0].input).tolist() == [[0.0]]


def test_quaternions_never_change_sign(tmp_path, body, motion, pygltflib):
    write_animated_glb(tmp_path / "a.glb", pose_body(body, motion))
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    for channel in gltf.animations[0].channels:
        values = accessor(gltf, gltf.animations[0].samplers[channel.sampler].output)
        if channel.target.path == "rotation":
            assert ((values[1:] * values[:-1]).sum(1) > 0).all()


def test_nothing_is_left_when_writing_fails(tmp_path, body, motion):
    with pytest.raises(InputError, match="rows hold nothing"):
        write_animated_glb(tmp_path / "a.glb", pose_body(body, motion[slice(0, 0)]))
    assert list(tmp_path.iterdir()) == []
