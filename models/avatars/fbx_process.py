"""Run as a script in a process of its own: reads one FBX file with ufbx and writes plain arrays (.npz) to standard output.

    python fbx_process.py character FILE        python fbx_process.py motion FILE MAX_TRANSFORMS

ufbx's Python binding 0.0.5 miscounts references: an element taken out of a list is freed once too often, which ends the whole
process with a segmentation fault, at once or when Python next collects garbage. Here every such element is counted once more
(`_all`), nothing is collected, and a file that crashes the parser all the same takes nothing else along. Imports nothing of ours.
Everything comes out in metres, +Y up, right-handed; matrices act on column vectors.
"""

import ctypes
import gc
import io
import json
import os
import sys

FAILED = 3  # exit code with one line of explanation on standard error
NO_UFBX = 4
MEMORY = 8 << 30


def extract(path, motion_limit=None):
    """Returns {name: array} with the key ``json`` for what is no array; of the character, or of its motion."""
    import numpy as np
    import ufbx

    scene = ufbx.load_file(
        path, target_axes=ufbx.axes_right_handed_y_up, target_unit_meters=1.0, space_conversion=ufbx.SpaceConversion.MODIFY_GEOMETRY,
        geometry_transform_handling=ufbx.GeometryTransformHandling.MODIFY_GEOMETRY, ignore_animation=motion_limit is None,
        ignore_geometry=motion_limit is not None, ignore_embedded=motion_limit is not None,
        handedness_conversion_axis=ufbx.MirrorAxis.X, generate_missing_normals=True, node_depth_limit=512)
    nodes = _all(scene.nodes)
    arrays = {"world": np.stack([_matrix(node.node_to_world) for node in nodes]), "bind": _bind_poses(scene, nodes)}
    about = {"names": [node.name for node in nodes], "parents": [-1 if node.parent is None else node.parent.typed_id for node in nodes]}
    if motion_limit is None:
        about["meshes"] = [_mesh(mesh, node, arrays) for mesh in _all(scene.meshes) for node in _all(mesh.instances) if _shown(node)]
        about["materials"] = [_material(material, arrays, i) for i, material in enumerate(_all(scene.materials))]
    else:
        about |= _motion(scene, nodes, arrays, motion_limit)
    return arrays | {"json": np.frombuffer(json.dumps(about).encode(), np.uint8)}


def _all(elements):
    """The elements of one of ufbx's lists, safe to use: see the top of this file."""
    own = ctypes.pythonapi.Py_IncRef
    own.argtypes = [ctypes.py_object]
    found = []
    for i in range(len(elements)):
        element = elements[i]
        own(element)
        found.append(element)
    return found


def _matrix(columns):
    import numpy as np

    return np.vstack([np.array(columns, np.float64).T, (0, 0, 0, 1)])


def _bind_poses(scene, nodes):
    """(N, 4, 4) node to world at the moment of binding; NaN where the file does not tell."""
    import numpy as np

    bind = np.full((len(nodes), 4, 4), np.nan)
    for pose in _all(scene.poses):
        for bone in _all(pose.bone_poses) if pose.is_bind_pose else ():
            bind[bone.bone_node.typed_id] = _matrix(bone.bone_to_world)
    for cluster in _all(scene.skin_clusters):
        if cluster.bone_node is not None:
            bind[cluster.bone_node.typed_id] = _matrix(cluster.bind_to_world)
    return bind


def _shown(node):
    """Whether a node and all above it are visible, and none of them is a spare level of detail."""
    import ufbx

    while node is not None and not node.is_root:
        above = node.parent
        spare = above is not None and above.attrib_type == ufbx.ElementType.LOD_GROUP and _all(above.children)[0].typed_id != node.typed_id
        if not node.visible or spare:
            return False
        node = above
    return True


def _mesh(mesh, node, arrays):
    """Puts a mesh as seen at one node into ``arrays``; returns what is no array."""
    import numpy as np

    key = f"mesh{sum(name.endswith('.positions') for name in arrays)}"
    positions = np.array(list(mesh.vertices), np.float64).reshape(-1, 3)
    for deformer in _all(mesh.blend_deformers):
        for channel in _all(deformer.channels):
            for frame in _all(channel.keyframes):
                if frame.effective_weight:
                    rows = np.fromiter(frame.shape.offset_vertices, np.int64)
                    positions[rows] += frame.effective_weight * np.array(list(frame.shape.position_offsets))
    faces = np.array([(face.index_begin, face.num_indices) for face in mesh.faces], np.int64).reshape(-1, 2)
    arrays |= {f"{key}.positions": positions, f"{key}.faces": faces, f"{key}.corners": np.fromiter(mesh.vertex_indices, np.int64),
               f"{key}.face_material": np.fromiter(mesh.face_material, np.int64), f"{key}.to_node": _matrix(node.geometry_to_node)}
    for name, layer in (("normal", mesh.vertex_normal), ("uv", mesh.vertex_uv), ("color", mesh.vertex_color)):
        if layer.exists:
            arrays[f"{key}.{name}"] = np.array(list(layer.values), np.float64)
            arrays[f"{key}.{name}_corners"] = np.fromiter(layer.indices, np.int64)
    skinned = len(mesh.skin_deformers) > 0
    if skinned:
        _skin(_all(mesh.skin_deformers)[0], key, arrays)
    materials = _all(node.materials) or _all(mesh.materials)
    return {"key": key, "node": node.typed_id, "skinned": skinned, "materials": [material.typed_id for material in materials]}


def _skin(skin, key, arrays):
    """The influences of a skin as triples vertex, cluster, weight, and each cluster's bone and bind matrix."""
    import numpy as np

    clusters = [cluster for cluster in _all(skin.clusters) if cluster.bone_node is not None]
    counts = [len(cluster.vertices) for cluster in clusters]
    joined = lambda name, kind: np.concatenate([np.zeros(0, kind), *(np.fromiter(getattr(c, name), kind) for c in clusters)])
    arrays |= {f"{key}.skin_vertex": joined("vertices", np.int64), f"{key}.skin_weight": joined("weights", np.float64),
               f"{key}.skin_cluster": np.repeat(np.arange(len(clusters)), counts),
               f"{key}.bones": np.array([cluster.bone_node.typed_id for cluster in clusters], np.int64),
               f"{key}.binds": np.stack([_matrix(cluster.geometry_to_bone) for cluster in clusters]) if clusters else np.zeros((0, 4, 4))}


def _material(material, arrays, number):
    """Base colour, opacity and base texture of a material; an embedded picture goes into ``arrays``."""
    import numpy as np
    import ufbx

    base, factor, opacity = material.pbr.base_color, material.pbr.base_factor, material.pbr.opacity
    color = np.array(base.value_vec4)[:3] * (factor.value_vec4.x if factor.has_value else 1.0)
    about = {"name": material.name, "color": color.tolist(), "opacity": opacity.value_vec4.x if opacity.has_value else 1.0,
             "cut_out": opacity.texture is not None}
    texture = base.texture
    if texture is not None and not texture.has_file:  # a stack of layers, or a shader: the first picture in it
        texture = next(iter(_all(texture.file_textures)), None)
    if texture is not None:
        about |= {"texture": [texture.relative_filename, texture.filename, texture.absolute_filename],
                  "wrap": ["clamp" if mode == ufbx.WrapMode.CLAMP else "repeat" for mode in (texture.wrap_u, texture.wrap_v)]}
        arrays[f"material{number}.uv"] = _matrix(texture.uv_to_texture)
        if texture.content:
            arrays[f"material{number}.picture"] = np.frombuffer(texture.content, np.uint8)
    return about


def _motion(scene, nodes, arrays, limit):
    """Every node's local transform in every frame of the longest animation."""
    import numpy as np

    takes = [(stack.time_begin, stack.time_end, stack) for stack in _all(scene.anim_stacks)]
    if takes and all(end <= begin for begin, end, _ in takes):  # no times given: from the first key to the last
        curves = [curve for curve in _all(scene.anim_curves) if len(curve.keyframes)]
        takes = [(min(c.min_time for c in curves), max(c.max_time for c in curves), takes[0][2])] if curves else []
    begin, end, stack = max(takes, key=lambda take: take[1] - take[0], default=(0.0, 0.0, None))
    if not end > begin:
        raise ValueError("holds no animation")
    fps = scene.settings.frames_per_second or 30.0
    frames = 1 + round((end - begin) * fps)
    if frames * len(nodes) > limit:
        raise ValueError(f"has {frames} frames of {len(nodes)} bones, too many to read at once")
    local = np.zeros((frames, len(nodes), 10))
    for frame in range(frames):
        for number, node in enumerate(nodes):
            at = node.evaluate_transform(stack.anim, begin + frame / fps)
            local[frame, number] = (*at.translation, *at.rotation, *at.scale)
    arrays["local"] = local
    return {"fps": fps, "take": stack.name}


def main(kind, path, limit=None):
    gc.disable()
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, ValueError, OSError):  # Windows has no such limits
        pass
    try:
        import numpy as np
        import ufbx  # noqa: F401
    except ImportError as error:
        sys.stderr.write(str(error))
        os._exit(NO_UFBX)
    try:
        packed = io.BytesIO()
        np.savez(packed, **extract(path, None if kind == "character" else int(limit)))
        sys.stdout.buffer.write(packed.getbuffer())
        sys.stdout.buffer.flush()
    except Exception as error:
        sys.stderr.write(" ".join(str(error).split()) or type(error).__name__)
        sys.stderr.flush()
        os._exit(FAILED)
    os._exit(0)  # without the interpreter's own clearing up, which runs the garbage collector


if __name__ == "__main__":
    sys.path.pop(0)  # our own folder, whose file names others may use too
    main(*sys.argv[1:])
