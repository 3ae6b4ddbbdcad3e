"""Writes ASCII FBX 7.4 files of characters that a GltfScene describes, so that the reader can be asked about a known answer."""

import numpy as np

TICKS = 46186158000  # FBX time in one second
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # Y up, Z front -> Z up, -Y front, as Blender writes
AXES = {"y": (1, 1, 2, 1), "z": (2, 1, 1, -1)}  # up axis and sign, front axis and sign


def write_fbx(path, scene, up="y", centimetres=1.0, prerotate=True, default_pose=None, motion=None, fps=30, timed=True, picture=None,
              edit=None):
    """
    Args:
        scene: a GltfScene in metres, Y up.
        up: "y" or "z". centimetres: length of one unit of the file.
        prerotate: give every bone a PreRotation, as Maya and Mixamo do.
        default_pose: {node: (3, 3)} turns on top of the rest pose in which the file's nodes are left; the bind pose stays the rest pose.
        motion: {node: (T, 3, 3)} turns on top of the rest pose, at ``fps``.
        timed: say when the animation starts and stops.
        picture: name of a texture file for the first material. edit: changes the text before it is written.
    """
    text = _Document(scene, up, centimetres, prerotate, default_pose or {}, motion or {}, fps, timed, picture).text()
    path.write_text(edit(text) if edit else text)
    return path


class _Document:
    def __init__(self, scene, up, centimetres, prerotate, default_pose, motion, fps, timed, picture):
        self.scene, self.up, self.centimetres, self.fps, self.timed, self.picture = scene, up, centimetres, fps, timed, picture
        self.default_pose, self.motion = default_pose, motion
        self.axes = Z_UP if up == "z" else np.eye(3)
        self.space = np.eye(4)
        self.space[:3, :3] = self.axes * 100 / centimetres
        self.back = np.linalg.inv(self.space)
        random = np.random.default_rng(0)
        angles = random.uniform(-80, 80, (len(scene.names), 3)) if prerotate else np.zeros((len(scene.names), 3))
        self.before = [(a, _euler_to_rotmat(a)) for a in angles.round(3)]
        self.objects, self.links = [], []

    def text(self):
        up, up_sign, front, front_sign = AXES[self.up]
        settings = "".join(f'P: "{name}", "{kind}", "", "",{value}\n' for name, kind, value in (
            ("UpAxis", "int", up), ("UpAxisSign", "int", up_sign), ("FrontAxis", "int", front), ("FrontAxisSign", "int", front_sign),
            ("CoordAxis", "int", 0), ("CoordAxisSign", "int", 1), ("UnitScaleFactor", "double", self.centimetres),
            ("TimeMode", "enum", 14), ("CustomFrameRate", "double", self.fps)))
        self._nodes()
        self._materials()
        for number, part in enumerate(self.scene.parts):
            self._mesh(number, part)
        if self.motion:
            self._animation()
        links = "".join(f'C: "{kind}",{child},{parent}{f", {chr(34)}{prop}{chr(34)}" if prop else ""}\n'
                        for kind, child, parent, prop in self.links)
        return ("; FBX 7.4.0 project file\nFBXHeaderExtension: {\nFBXHeaderVersion: 1003\nFBXVersion: 7400\n}\n"
                f"GlobalSettings: {{\nVersion: 1000\nProperties70: {{\n{settings}}}\n}}\n"
                f"Objects: {{\n{''.join(self.objects)}}}\nConnections: {{\n{links}}}\n")

    def _nodes(self):
        scene = self.scene
        for i, name in enumerate(scene.names):
            local = self._local(i)
            turn = self.axes @ self.default_pose.get(i, np.eye(3)) @ self.axes.T
            angles, before = self.before[i]
            lcl = rotmat_to_euler(before.T @ local[:3, :3] @ turn)
            props = [("PreRotation", "Vector3D", angles), ("Lcl Translation", "Lcl Translation", local[:3, 3]),
                     ("Lcl Rotation", "Lcl Rotation", lcl), ("Lcl Scaling", "Lcl Scaling", (1, 1, 1))]
            rows = "".join(f'P: "{key}", "{kind}", "", "A",{_numbers(value)}\n' for key, kind, value in props)
            self.objects.append(f'Model: {1000 + i}, "Model::{name}", "LimbNode" {{\nVersion: 232\nProperties70: {{\n'
                                f'P: "RotationActive", "bool", "", "",1\n{rows}}}\n}}\n'
                                f'NodeAttribute: {5000 + i}, "NodeAttribute::", "LimbNode" {{\nTypeFlags: "Skeleton"\n}}\n')
            parent = scene.parents[i]
            self.links += [("OO", 1000 + i, 1000 + parent if parent >= 0 else 0, None), ("OO", 5000 + i, 1000 + i, None)]

    def _local(self, i):
        world, parent = self.scene.world, self.scene.parents[i]
        local = world[i] if parent < 0 else np.linalg.inv(world[parent]) @ world[i]
        return self.space @ local @ self.back

    def _materials(self):
        for i, material in enumerate(self.scene.materials):
            color = _numbers(material.base_color[:3])
            self.objects.append(f'Material: {20000 + i}, "Material::{material.name}", "" {{\nVersion: 102\nShadingModel: "lambert"\n'
                                f'Properties70: {{\nP: "DiffuseColor", "Color", "", "A",{color}\nP: "Opacity", "double", "Number", "",'
                                f"{material.base_color[3]}\n}}\n}}\n")
        if self.picture:
            self.objects.append('Texture: 21000, "Texture::skin", "" {\nType: "TextureVideoClip"\n'
                                f'FileName: "C:\\elsewhere\\{self.picture}"\nRelativeFilename: "{self.picture}"\n}}\n')
            self.links.append(("OP", 21000, 20000, "DiffuseColor"))

    def _mesh(self, number, part):
        at, skin = 30000 + number, 40000 + 1000 * number
        vertices = part.vertices @ self.space[:3, :3].T
        corners = part.faces.copy()
        corners[:, 2] = ~corners[:, 2]
        layers = _layer("Normal", "Normals", part.normals, part.faces, self.axes)
        if part.uv is not None:
            layers += _layer("UV", "UV", part.uv * [1, -1] + [0, 1], part.faces)
        layers += ('LayerElementMaterial: 0 {\nMappingInformationType: "AllSame"\nReferenceInformationType: "IndexToDirect"\n'
                   f'{_array("Materials", [0])}}}\n')
        self.objects.append(f'Geometry: {at}, "Geometry::part {number}", "Mesh" {{\n{_array("Vertices", vertices)}'
                            f'{_array("PolygonVertexIndex", corners)}GeometryVersion: 124\n{layers}}}\n'
                            f'Model: {at + 500}, "Model::part {number}", "Mesh" {{\nVersion: 232\n}}\n'
                            f'Deformer: {skin}, "Deformer::", "Skin" {{\nVersion: 101\n}}\n')
        self.links += [("OO", at + 500, 0, None), ("OO", at, at + 500, None), ("OO", skin, at, None),
                       ("OO", 20000 + part.material, at + 500, None)]
        for k, node in enumerate(np.unique(part.joints[part.weights > 0])):
            mine = np.where(part.joints == node, part.weights, 0).sum(1)
            rows = np.flatnonzero(mine)
            bind = self.space @ part.binds[int(node)] @ self.back
            bind[:3, :3] /= np.cbrt(np.linalg.det(bind[:3, :3]))
            arrays = {"Indexes": rows, "Weights": mine[rows], "Transform": bind.T, "TransformLink": np.linalg.inv(bind).T}
            self.objects.append(f'Deformer: {skin + 1 + k}, "SubDeformer::", "Cluster" {{\nVersion: 100\n'
                                f'{"".join(_array(*item) for item in arrays.items())}}}\n')
            self.links += [("OO", skin + 1 + k, skin, None), ("OO", 1000 + int(node), skin + 1 + k, None)]

    def _animation(self):
        frames = len(next(iter(self.motion.values())))
        stop = round((frames - 1) / self.fps * TICKS)
        ends = [(f"{of}{end}", time) for of in ("Local", "Reference") for end, time in (("Start", 0), ("Stop", stop))] if self.timed else []
        stops = "".join(f'P: "{name}", "KTime", "Time", "",{time}\n' for name, time in ends)
        self.objects.append(f'AnimationStack: 60000, "AnimStack::Take", "" {{\nProperties70: {{\n{stops}}}\n}}\n'
                            'AnimationLayer: 60001, "AnimLayer::Base", "" {\n}\n')
        self.links.append(("OO", 60001, 60000, None))
        times = np.round(np.arange(frames) / self.fps * TICKS).astype(int)
        for node, turns in self.motion.items():
            angles, before = self.before[node]
            local = self._local(node)[:3, :3]
            keys = np.unwrap(np.radians([rotmat_to_euler(before.T @ local @ turn) for turn in self.axes @ turns @ self.axes.T]), axis=0)
            at = 61000 + 4 * int(node)
            self.objects.append(f'AnimationCurveNode: {at}, "AnimCurveNode::R", "" {{\n}}\n')
            self.links += [("OO", at, 60001, None), ("OP", at, 1000 + int(node), "Lcl Rotation")]
            for axis in range(3):
                arrays = {"KeyTime": times, "KeyValueFloat": np.degrees(keys[:, axis]), "KeyAttrFlags": [4],
                          "KeyAttrDataFloat": [0, 0, 0, 0], "KeyAttrRefCount": [frames]}
                self.objects.append(f'AnimationCurve: {at + 1 + axis}, "AnimCurve::", "" {{\nDefault: 0\nKeyVer: 4008\n'
                                    f'{"".join(_array(*item) for item in arrays.items())}}}\n')
                self.links.append(("OP", at + 1 + axis, at, f"d|{'XYZ'[axis]}"))



def _layer(kind, name, values, faces, turn=None):
    if values is None:
        return ""
    rows = values[faces.ravel()]
    rows = rows if turn is None else rows @ turn.T
    return (f'LayerElement{kind}: 0 {{\nVersion: 101\nName: "map"\nMappingInformationType: "ByPolygonVertex"\n'
            f'ReferenceInformationType: "Direct"\n{_array(name, rows)}}}\n')


def _array(name, values):
    values = np.asarray(values).ravel()
    return f"{name}: *{len(values)} {{\na: {_numbers(values)}\n}}\n"


def _numbers(values):
    return ",".join(map(str, np.asarray(values).ravel().tolist()))


def _euler_to_rotmat(degrees):
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return z @ y @ x


def rotmat_to_euler(R):
    """Degrees about x, then y, then z of fixed axes."""
    return np.degrees([np.arctan2(R[2, 1], R[2, 2]), np.arcsin(-R[2, 0].clip(-1, 1)), np.arctan2(R[1, 0], R[0, 0])])
