"""Reading and writing glTF: every way to store an attribute, and every way to break a file."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contrapposto.models.assets.registry import DEFAULT_AVATAR, bundled
from contrapposto.models.avatars.gltf import read_gltf
from contrapposto.models.avatars.gltf_writer import write_glb
from contrapposto.models.checks import InputError

TRIANGLE = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0)], float)


def test_a_triangle_is_read(triangle_glb):
    scene = read_gltf(triangle_glb())
    assert np.array_equal(scene.parts[0].vertices, TRIANGLE)
    assert scene.parts[0].faces.tolist() == [[0, 1, 2]] and not scene.parts[0].skinned


def test_interleaved_and_strided_views(triangle_glb):
    def edit(document, binary):
        rows = b"".join(struct.pack("<3f", *v) + b"\xff" * 12 for v in TRIANGLE)
        document["bufferViews"][0] = {"buffer": 0, "byteOffset": 44, "byteLength": 72, "byteStride": 24}
        document["buffers"][0]["byteLength"] = 116
        return binary + rows

    assert np.array_equal(read_gltf(triangle_glb(edit)).parts[0].vertices, TRIANGLE)


@pytest.mark.parametrize("kind, code", [(np.int8, 5120), (np.uint8, 5121), (np.int16, 5122), (np.uint16, 5123)])
def test_normalized_integers(triangle_glb, kind, code):
    top = {5120: 127, 5121: 255, 5122: 32767, 5123: 65535}[code]

    def edit(document, binary):
        rows = np.zeros((3, 4), kind)
        rows[:, :3] = TRIANGLE * top
        document["accessors"][0] |= {"componentType": code, "normalized": True}
        document["bufferViews"][0] = {"buffer": 0, "byteOffset": 44, "byteLength": rows.nbytes, "byteStride": rows.strides[0]}
        document["buffers"][0]["byteLength"] = 44 + rows.nbytes
        return binary + rows.tobytes()

    assert np.allclose(read_gltf(triangle_glb(edit)).parts[0].vertices, TRIANGLE)


def test_sparse_accessor_without_a_base(triangle_glb):
    def edit(document, binary):
        document["accessors"][0] = {"componentType": 5126, "count": 3, "type": "VEC3", "sparse": {
            "count": 2, "indices": {"bufferView": 2, "componentType": 5121}, "values": {"bufferView": 3}}}
        document["bufferViews"] += [{"buffer": 0, "byteOffset": 44, "byteLength": 4}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}]
        document["buffers"][0]["byteLength"] = 72
        return binary + bytes([1, 2, 0, 0]) + TRIANGLE[1:].astype("<f4").tobytes()

    assert np.array_equal(read_gltf(triangle_glb(edit)).parts[0].vertices, TRIANGLE)


def test_separate_file_with_a_data_uri(triangle_glb):
    def edit(document, binary):
        document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()

    assert np.array_equal(read_gltf(triangle_glb(edit, "triangle.gltf")).parts[0].vertices, TRIANGLE)


def test_separate_file_with_a_buffer_beside_it(triangle_glb, tmp_path):
    def edit(document, binary):
        (tmp_path / "my mesh.bin").write_bytes(binary)
        document["buffers"][0]["uri"] = "my%20mesh.bin"

    assert np.array_equal(read_gltf(triangle_glb(edit, "triangle.gltf")).parts[0].vertices, TRIANGLE)


def test_strip_fan_and_morph_target(triangle_glb):
    def edit(document, binary):
        document["meshes"][0] |= {"weights": [0.5]}
        document["meshes"][0]["primitives"][0] |= {"mode": 5, "targets": [{"POSITION": 0}]}

    part = read_gltf(triangle_glb(edit)).parts[0]
    assert np.allclose(part.vertices, 1.5 * TRIANGLE) and part.faces.tolist() == [[0, 1, 2]]


def test_node_transforms_and_mirrored_faces(triangle_glb):
    def edit(document, binary):
        half = np.sqrt(0.5)
        document["nodes"] = [{"children": [1], "rotation": [0, half, 0, half], "scale": [2, 2, 2]},
                             {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 3, 1]}]

    scene = read_gltf(triangle_glb(edit))
    assert np.allclose(scene.world[1] @ [1, 0, 0, 1], [6, 0, 2, 1])  # x -> -x, +3 z, twice as large, a quarter turn about y
    assert scene.parts[0].faces.tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("where", ["texture", "alpha", "transform"])
def test_materials(triangle_glb, where, tmp_path):
    from PIL import Image

    def edit(document, binary):
        Image.fromarray(np.array([[[255, 0, 0, 128]]], np.uint8)).save(tmp_path / "skin.png")
        document["images"], document["textures"] = [{"uri": "skin.png"}], [{"source": 0, "sampler": 0}]
        document["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
        info = {"index": 0, "extensions": {"KHR_texture_transform": {"offset": [0.5, 0], "scale": [2, 2]}}}
        look = {"baseColorTexture": info, "baseColorFactor": [1, 0.5, 1, 1]}
        document["materials"] = [{"name": "m", "alphaMode": "MASK", "alphaCutoff": 0.3, "pbrMetallicRoughness": look, "doubleSided": True}]
        document["meshes"][0]["primitives"][0] |= {"material": 0}
        document["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = 2
        uv = np.array([(0, 0), (1, 0), (0, 1)], "<f4").tobytes()
        document["bufferViews"].append({"buffer": 0, "byteOffset": 44, "byteLength": 24})
        document["accessors"].append({"bufferView": 2, "componentType": 5126, "count": 3, "type": "VEC2"})
        document["buffers"][0]["byteLength"] = 68
        return binary + uv

    scene = read_gltf(triangle_glb(edit))
    material = scene.materials[0]
    if where == "texture":
        assert material.texture.tolist() == [[[255, 0, 0, 128]]] and material.wrap == ("clamp", "mirror")
    if where == "alpha":
        assert (material.alpha_mode, material.alpha_cutoff, material.double_sided) == ("mask", 0.3, True)
        assert material.base_color == (1, 0.5, 1, 1)
    if where == "transform":
        assert np.allclose(scene.parts[0].uv, [(0.5, 0), (2.5, 0), (0.5, 2)])


def _set(*path):
    *keys, last, value = path

    def edit(document, binary):
        at = document
        for key in keys:
            at = at[key]
        at[last] = value

    return edit


BROKEN = {
    "accessor beyond its buffer": (_set("accessors", 0, "count", 4), "beyond its buffer"),
    "view beyond its buffer": (_set("bufferViews", 0, "byteLength", 4000), "truncated"),
    "huge accessor without data": (_set("accessors", 0, {"componentType": 5126, "count": 10**9, "type": "VEC3"}), "no data"),
    "negative offset": (_set("bufferViews", 0, "byteOffset", -4), "not a size"),
    "overlapping stride": (_set("bufferViews", 0, "byteStride", 1), "beyond its buffer"),
    "circle": (_set("nodes", [{"children": [1]}, {"children": [0], "mesh": 0}]), "circle"),
    "own child": (_set("nodes", [{"children": [0], "mesh": 0}]), "circle"),
    "two parents": (_set("nodes", [{"children": [2]}, {"children": [2]}, {"mesh": 0}]), "two parents"),
    "missing node": (_set("nodes", [{"children": [7], "mesh": 0}]), "does not exist"),
    "ten thousand nodes": (_set("nodes", [{"mesh": 0}] + [{}] * 9999), "10000 nodes"),
    "infinite transform": (_set("nodes", [{"mesh": 0, "translation": [0, float("inf"), 0]}]), "finite"),
    "wrong attribute size": (_set("accessors", 0, "type", "VEC2"), "wrong size"),
    "Draco": (_set("extensionsRequired", ["KHR_draco_mesh_compression"]), "Draco compression"),
    "meshopt": (_set("extensionsRequired", ["EXT_meshopt_compression"]), "meshopt compression"),
    "no mesh": (_set("nodes", [{}]), "no triangles"),
    "glTF 1": (_set("asset", {"version": "1.0"}), "not a glTF 2.0"),
    "a list where an object belongs": (_set("meshes", 0, {"primitives": 7}), "damaged"),
    "text where a number belongs": (_set("nodes", [{"mesh": "0"}]), "does not exist"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_documents_give_one_error(triangle_glb, case):
    edit, message = BROKEN[case]
    with pytest.raises(InputError, match=message) as caught:
        read_gltf(triangle_glb(edit))
    assert caught.value.name == "avatar file" and "triangle.glb" in str(caught.value)


def test_a_face_beyond_the_vertices(triangle_glb):
    def edit(document, binary):
        return binary[:36] + np.array([0, 1, 3, 0], "<u2").tobytes()

    with pytest.raises(InputError, match="uses vertex 3 of 3"):
        read_gltf(triangle_glb(edit))


def test_nan_in_the_vertices(triangle_glb):
    def edit(document, binary):
        return np.full(3, np.nan, "<f4").tobytes() + binary[12:]

    with pytest.raises(InputError, match="NaN"):
        read_gltf(triangle_glb(edit))


@pytest.mark.parametrize("uri", ["../secret.bin", "/etc/passwd", "..%2Fsecret.bin", "http://example.com/a.bin", "a\\..\\b.bin"])
def test_buffers_outside_the_folder_are_refused(triangle_glb, tmp_path, uri):
    (tmp_path.parent / "secret.bin").write_bytes(bytes(44))
    with pytest.raises(InputError, match="outside its own folder"):
        read_gltf(triangle_glb(_set("buffers", 0, "uri", uri), "triangle.gltf"))


def test_a_link_out_of_the_folder_is_refused(triangle_glb, tmp_path):
    (tmp_path.parent / "secret.bin").write_bytes(bytes(44))
    (tmp_path / "inside.bin").symlink_to(tmp_path.parent / "secret.bin")
    with pytest.raises(InputError, match="outside its own folder"):
        read_gltf(triangle_glb(_set("buffers", 0, "uri", "inside.bin"), "triangle.gltf"))


def test_missing_texture_file_is_named(triangle_glb):
    def edit(document, binary):
        document |= {"images": [{"uri": "gone.png"}], "textures": [{"source": 0}],
                     "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]}
        document["meshes"][0]["primitives"][0]["material"] = 0

    with pytest.raises(InputError, match="gone.png"):
        read_gltf(triangle_glb(edit))


@pytest.mark.parametrize("content, message", [
    (b"glTF", "truncated"), (b"not a model at all", "not a glTF"), (b"[" * 100_000, "not a glTF"), (b"{}", "not a glTF 2.0"),
    (b"", "is empty"),
])  # fmt: skip
def test_files_of_another_kind(tmp_path, content, message):
    path = tmp_path / "model.glb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_gltf(path)


def test_wrong_suffix_and_missing_file(tmp_path):
    (tmp_path / "model.obj").write_text("v 0 0 0")
    with pytest.raises(InputError, match="type .obj"):
        read_gltf(tmp_path / "model.obj")
    with pytest.raises(InputError, match="does not exist"):
        read_gltf(tmp_path / "gone.glb")


def test_every_truncation_gives_our_error(triangle_glb, tmp_path):
    data = triangle_glb().read_bytes()
    cut = tmp_path / "cut.glb"
    for size in range(1, len(data), 7):
        cut.write_bytes(data[:size])
        with pytest.raises(InputError):
            read_gltf(cut)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_flipped_bytes_read_or_give_our_error(stick_glb, tmp_path, data):
    names = {"pelvis": "hips", "head": "head", "left_hip": "thigh.L"}
    original = bytearray(stick_glb(names).read_bytes())
    for at in data.draw(st.lists(st.integers(12, len(original) - 1), min_size=1, max_size=4)):
        original[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzzed.glb"
    path.write_bytes(original)
    try:
        read_gltf(path)
    except InputError:
        pass


def test_zero_weights(stick_glb, glb_tools):
    split, join = glb_tools
    path = stick_glb({"pelvis": "hips", "head": "head"})
    document, binary = split(path.read_bytes())
    view = document["bufferViews"][document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"]]["bufferView"]]
    start, size = view["byteOffset"], view["byteLength"]
    path.write_bytes(join(document, binary[:start] + bytes(size) + binary[start + size :]))
    with pytest.raises(InputError, match="weights are all zero"):
        read_gltf(path)


def test_what_is_written_is_read_back(tmp_path):
    first = read_gltf(bundled(DEFAULT_AVATAR))
    write_glb(tmp_path / "again.glb", first)
    second = read_gltf(tmp_path / "again.glb")
    assert second.names[: len(first.names)] == first.names and np.allclose(second.world[: len(first.names)], first.world)
    for a, b in zip(first.parts, second.parts):
        assert np.array_equal(a.vertices, b.vertices) and np.array_equal(a.faces, b.faces) and np.allclose(a.weights, b.weights, atol=1e-4)
        assert (a.uv is None) == (b.uv is None) and (a.uv is None or np.allclose(a.uv, b.uv, atol=1e-5))
    for a, b in zip(first.materials, second.materials):
        assert (a.name, a.wrap, a.alpha_mode) == (b.name, b.wrap, b.alpha_mode)
        assert (a.texture is None) == (b.texture is None) and (a.texture is None or np.array_equal(a.texture, b.texture))


def test_an_independent_reader_sees_the_same_mesh():
    pygltflib = pytest.importorskip("pygltflib")
    path = bundled(DEFAULT_AVATAR)
    other, ours = pygltflib.GLTF2().load(str(path)), read_gltf(path)
    blob = other.binary_blob()
    for primitive, part in zip(other.meshes[0].primitives, ours.parts):
        accessor = other.accessors[primitive.attributes.POSITION]
        start = other.bufferViews[accessor.bufferView].byteOffset
        positions = np.frombuffer(blob[start : start + 12 * accessor.count], "<f4").reshape(-1, 3)
        assert np.array_equal(positions.astype(float), part.vertices)
        assert accessor.min == pytest.approx(positions.min(0).tolist()) and accessor.max == pytest.approx(positions.max(0).tolist())
    assert [node.name for node in other.nodes] == ours.names
    assert json.loads(other.to_json())["asset"]["version"] == "2.0"
