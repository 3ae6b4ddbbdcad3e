"""Image-mesh pairs: what is written is what is drawn, and nothing half-written is ever seen."""

import errno
import io
import json
import tarfile

import numpy as np
import pytest
import torch

from contrapposto.models.bodies.body import load_body_model, pose_body
from contrapposto.models.checks import InputError
from contrapposto.models.pose_correction import pairs as pairs_module
from contrapposto.models.pose_correction.meshes import write_mesh
from contrapposto.models.pose_correction.pair_dataset import PairDataset
from contrapposto.models.pose_correction.pairs import make_pairs, sample_files
from contrapposto.models.pose_correction.shards import ShardWriter, finished_shards, manifest_path, read_manifest, read_shard
from contrapposto.models.render.camera import frame_figure, project
from contrapposto.models.render.engine import render_figure
from contrapposto.models.rotations import rotvec_to_rotmat
from contrapposto.models.types import BodyPose

SIZE = 96


@pytest.fixture(scope="module")
def body():
    return load_body_model()


@pytest.fixture(scope="module")
def poses():
    generator = torch.Generator().manual_seed(3)
    return BodyPose(rotvec_to_rotmat(torch.randn(2, 3, generator=generator) * 0.3),
                    rotvec_to_rotmat(torch.randn(2, 21, 3, generator=generator) * 0.25),
                    betas=torch.randn(2, 10, generator=generator) * 0.5)


@pytest.fixture(scope="module")
def drawn(body, poses):
    """Two bodies, each white on black."""
    figure = pose_body(body, poses)
    camera = frame_figure(figure, SIZE, SIZE, view="three-quarter")
    alpha = render_figure(figure, camera).alpha
    about = [{"prompt": "a", "seed": 1}, {"prompt": "ü", "seed": 2}]
    return make_pairs(alpha[..., None].expand(-1, -1, -1, 3), poses, camera, body, about=about, vertices=True)


def write(path, pairs, ids=("one", "two"), **about):
    with ShardWriter(path, about) as shard:
        shard.add(pairs, ids)
    return path


def test_saved_joints_lie_on_the_saved_picture(drawn, body, tmp_path):
    """Joints made anew from the stored parameters land where the stored 2D joints are, and the mesh on the stored picture."""
    for row, pair in enumerate(read_shard(write(tmp_path / "0.tar", drawn), verify=True)):
        posed = pose_body(body, pair.pose)
        again = project(posed.joints, pair.camera)[0][0]
        assert (again - pair.joints_2d).norm(dim=-1).max() < 1e-2
        assert (project(pair.joints_3d[None], pair.camera)[0][0] - pair.joints_2d).norm(dim=-1).max() < 1e-2
        outline = render_figure(posed, pair.camera).alpha[0]
        assert (outline - pair.image[..., 0] / 255).abs().max() < 0.02 and (outline - pair.mask / 255).abs().max() < 0.02
        assert torch.allclose(posed.vertices()[0], pair.vertices, atol=1e-5)
        inside = outline[pair.joints_2d[:, 1].long(), pair.joints_2d[:, 0].long()]
        assert (inside > 0.5).float().mean() > 0.9, "joints lie inside the body"
        assert pair.about["prompt"] == "aü"[row] and pair.about["seed"] == row + 1


def test_same_rows_same_bytes(drawn, tmp_path):
    first, second = (write(tmp_path / name, drawn).read_bytes() for name in ("a.tar", "b.tar"))
    assert first == second
    assert sample_files(drawn, 0) == sample_files(drawn, 0) and sample_files(drawn, 0)[0] != sample_files(drawn, 1)[0]


def test_any_webdataset_reader_finds_three_files_per_sample(drawn, tmp_path):
    with tarfile.open(write(tmp_path / "0.tar", drawn)) as tar:
        assert tar.getnames() == [f"{key}.{part}" for key in ("one", "two") for part in ("png", "npz", "json")]
        arrays = np.load(io.BytesIO(tar.extractfile("one.npz").read()), allow_pickle=False)
        assert arrays["body_pose"].shape == (63,) and arrays["mask"].shape == (SIZE, SIZE) and arrays["joints_2d"].shape == (24, 2)


def test_manifest_tells_ids_rejects_and_the_tars_hash(drawn, tmp_path):
    with ShardWriter(tmp_path / "0.tar", {"plan": "abc"}) as shard:
        shard.add(drawn[0], ["one"])
        shard.reject("two", "nobody in the picture")
    told = read_manifest(tmp_path / "0.tar")
    assert told["ids"] == ["one"] and told["rejects"] == [{"id": "two", "reason": "nobody in the picture"}] and told["plan"] == "abc"


def test_a_shard_is_seen_whole_or_not_at_all(drawn, tmp_path, monkeypatch):
    path = tmp_path / "0.tar"
    with pytest.raises(RuntimeError), ShardWriter(path) as shard:
        shard.add(drawn)
        raise RuntimeError("the lights went out")
    assert list(tmp_path.iterdir()) == []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tarfile.TarFile, "addfile", full)
        with pytest.raises(InputError, match="(?s)0.tar.*No space left"):
            write(path, drawn)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no finished shard"):
        finished_shards(tmp_path)


@pytest.mark.parametrize("cut", [600, 3000, 40_000])
def test_a_cut_shard_is_named(drawn, tmp_path, cut):
    path = write(tmp_path / "0.tar", drawn)
    path.write_bytes(path.read_bytes()[:cut])
    assert read_manifest(path) is None, "another size is another shard"
    with pytest.raises(InputError, match="0.tar"):
        list(read_shard(path))


def test_a_changed_file_is_noticed(drawn, tmp_path):
    path = write(tmp_path / "0.tar", drawn)
    data = bytearray(path.read_bytes())
    place = data.index(b"PNG") + 60
    data[place] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(InputError):
        list(read_shard(path, verify=True))


def test_mistakes(drawn, body, poses, tmp_path):
    image, camera = drawn.images, drawn.camera
    with pytest.raises(InputError, match="95 x 96"):
        make_pairs(image[:, :, :-1], poses, camera, body)
    with pytest.raises(InputError, match="1 rows.*do not fit 2 pictures"):
        make_pairs(image, poses[0], camera, body)
    with pytest.raises(InputError, match="mask"):
        make_pairs(image, poses, camera, body, masks=drawn.masks[:, :-1])
    with pytest.raises(InputError, match="NaN"):
        make_pairs(image * torch.nan, poses, camera, body)
    with pytest.raises(InputError, match="comes twice"):
        write(tmp_path / "0.tar", drawn, ("one", "one"))
    with pytest.raises(InputError, match="other characters"):
        write(tmp_path / "0.tar", drawn, ("../one", "two"))
    assert list(tmp_path.iterdir()) == []


def test_dataset_gives_every_pair_once(drawn, tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.tar", drawn, (f"{number}a", f"{number}b"))
    (tmp_path / "3.tar").write_bytes(b"half a tar")  # no manifest, so it is not finished
    dataset = PairDataset(tmp_path, shuffle=4, transform=lambda pair: pair.id)
    orders = []
    for epoch in range(3):
        dataset.set_epoch(epoch)
        orders.append(list(dataset))
    assert all(sorted(order) == ["0a", "0b", "1a", "1b", "2a", "2b"] for order in orders) and len(set(map(tuple, orders))) > 1
    dataset.set_epoch(0)
    assert list(dataset) == orders[0]


def test_readers_share_the_shards(drawn, tmp_path, monkeypatch):
    for number in range(3):
        write(tmp_path / f"{number}.tar", drawn, (f"{number}a", f"{number}b"))
    seen = []
    for place in range(2):
        monkeypatch.setattr("contrapposto.models.pose_correction.pair_dataset._place", lambda place=place: (place, 2))
        seen += [pair.id for pair in PairDataset(tmp_path, shuffle=2)]
    assert sorted(seen) == ["0a", "0b", "1a", "1b", "2a", "2b"]


def test_meshes(drawn, body, tmp_path):
    from contrapposto.models.avatars.gltf import read_gltf

    write_mesh(tmp_path / "a.glb", drawn.vertices[0], drawn.faces)
    (part,) = read_gltf(tmp_path / "a.glb").parts
    assert np.allclose(part.vertices, drawn.vertices[0], atol=1e-6) and len(part.faces) == len(drawn.faces)
    write_mesh(tmp_path / "a.ply", drawn.vertices[0], drawn.faces)
    head, _, rest = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    count = len(drawn.vertices[0])
    assert f"element vertex {count}".encode() in head and len(rest) == count * 12 + len(drawn.faces) * 13
    assert np.allclose(np.frombuffer(rest[: count * 12], "<f4").reshape(-1, 3), drawn.vertices[0])
    with pytest.raises(InputError, match="mesh format"):
        write_mesh(tmp_path / "a.obj", drawn.vertices[0], drawn.faces)


def test_json_is_plain(drawn):
    told = json.loads(sample_files(drawn, 1)[1]["json"])
    assert told["prompt"] == "ü" and told["version"] == pairs_module.VERSION and set(told["sha256"]) == {"png", "npz"}
    assert told["body"]["name"] == "open_body" and manifest_path("x/0.tar").name == "0.json"
