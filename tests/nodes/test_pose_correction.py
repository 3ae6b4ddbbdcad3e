"""The nodes of pose correction: key points to bodies, the gate's laziness, maps for each picture."""

import pytest
import torch

SIZE = 128


@pytest.fixture(scope="session")
def lib(pack):
    """The library as the loaded pack sees it."""
    import importlib

    root = next(iter(pack.values())).__module__.rsplit(".nodes.", 1)[0]
    return lambda name: importlib.import_module(f"{root}.models.{name}")


@pytest.fixture(scope="session")
def seen(execute, lib):
    """Two people in picture 0, one in picture 2 of three: (pose, camera, POSE_KEYPOINT)."""
    (prior,) = execute("LoadPosePrior", file="open pose prior (bundled)")
    pose = execute("DecodeVPoser", pose_prior=prior, count=3, seed=4)[0]
    (camera,) = execute("FrameBody", figure=pose, width=SIZE, height=SIZE, view="front", one_camera=True)
    people = execute("RenderPoseMap", figure=pose, camera=camera)[3]
    frames = [{**people[0], "people": people[0]["people"] + people[1]["people"]}, {**people[0], "people": []}, people[2]]
    return pose, camera, frames


@pytest.fixture(scope="session")
def fitted(execute, seen):
    return execute("FitBody", pose_keypoint=seen[2])


def test_rows_know_their_picture_and_person(fitted):
    pose, camera, report = fitted
    assert pose.frame_index.tolist() == [0, 0, 2] and pose.person_index.tolist() == [0, 1, 0] and len(camera) == 3
    assert report.splitlines()[0] == "3 of 3 people fitted." and "picture 2, person 0: points off by" in report


def test_people_without_points_are_left_out_and_named(execute, seen):
    frames = [dict(frame) for frame in seen[2]]
    frames[1] = {**frames[1], "people": [{"pose_keypoints_2d": [0.0] * 54}]}
    pose, camera, report = execute("FitBody", pose_keypoint=frames)
    assert len(pose) == len(camera) == 3 and pose.frame_index.tolist() == [0, 0, 2]
    assert "3 of 4 people fitted" in report and "picture 1, person 0: left out" in report


def test_ten_people_and_a_film(execute, seen):
    frame = {**seen[2][0], "people": seen[2][0]["people"] * 5}
    pose, _, report = execute("FitBody", pose_keypoint=[frame, frame], smooth=1.0)
    assert len(pose) == 20 and pose.frame_index.tolist() == [0] * 10 + [1] * 10 and "20 of 20" in report


def test_nobody_is_said(execute, lib):
    with pytest.raises(lib("checks").InputError, match="shows nobody"):
        execute("FitBody", pose_keypoint=[{"canvas_width": 64, "canvas_height": 64, "people": []}])


@pytest.fixture
def gate(pack, execute, fitted):
    """(ask, run): which inputs the gate wants, and what it gives, at a threshold."""
    pose, camera, _ = fitted
    images = torch.rand(3, SIZE, SIZE, 3)

    def settings(threshold, **more):
        return {"image": images, "body_pose": pose, "threshold": threshold, "code": "mean", "draw": 0, "cut_off": "pass through", **more}

    def ask(threshold, **more):
        return pack["ContrappostoDifficultyGate"].check_lazy_status(**settings(threshold, **more))

    def run(threshold, **more):
        return execute("DifficultyGate", **settings(threshold, **more))

    return images, ask, run


def test_the_second_pass_is_asked_for_only_when_needed(gate):
    images, ask, run = gate
    assert ask(1e4, corrected=None) == [] and ask(0.0, corrected=None) == ["corrected"] and ask(0.0, corrected=images) == []
    image, hardest, hard, report = run(1e4)
    assert image is images and hard == 0 and hardest > 0 and "picture 1: nobody" in report


def test_mixed_batches_are_composed_row_by_row(gate, execute, fitted):
    images, _, run = gate
    _, hardest, _, _ = run(1e4)
    image, _, hard, report = run(hardest - 1e-3, corrected=1 - images)
    changed = [not torch.equal(a, b) for a, b in zip(image, images)]
    assert hard == 1 and sum(changed) == 1 and "hard" in report.splitlines()[changed.index(True)]
    few, pose, camera, mask, count = execute("KeepHardPictures", image=images, body_pose=fitted[0], camera=fitted[1], code="mean",
                                             threshold=hardest - 1e-3)
    assert count == len(few) == 1 and torch.equal(few[0], images[changed.index(True)]) and set(pose.frame_index.tolist()) == {0}
    assert len(pose) == len(camera) == (2 if changed.index(True) == 0 else 1) and mask.shape == (1, SIZE, SIZE)
    assert torch.equal(run(hardest - 1e-3, corrected=1 - few)[0], image)


def test_every_picture_gets_a_map(execute, fitted):
    pose, camera, _ = fitted
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., : SIZE // 2] = 1
    image, there = execute("OccludedBodyDepth", figure=pose, camera=camera, image=torch.zeros(4, SIZE, SIZE, 3), occluders=mask)
    assert image.shape == (4, SIZE, SIZE, 3) and bool((image[[1, 3]] == 0).all()) and bool((image[..., : SIZE // 2, :] == 0).all())
    assert image[0].max() <= 1 and torch.equal(there > 0, image[..., 0] > 0)
    whole, same = execute("OccludedBodyDepth", figure=pose, camera=camera, scene_depth=torch.full((3, 64, 64, 3), 0.4), scene_share=1.0)
    assert bool((whole > 0).all()) and not bool(same.all())


def test_augmented_poses_bring_their_cameras(execute, fitted):
    pose, camera = execute("AugmentPose", body_pose=fitted[0], camera=fitted[1], count=2)
    assert len(pose) == len(camera) == 6 and pose.frame_index.tolist() == [0, 0, 2, 3, 3, 5]
    assert execute("AugmentPose", body_pose=fitted[0])[1] is None


def test_a_body_file_by_path(execute, pack, lib, fitted, tmp_path):
    lib("bodies.pose_file").save_poses(tmp_path / "a.npz", fitted[0])
    pose, camera, report = execute("LoadBodyPose", body_file="(take the path below)", path=str(tmp_path / "a.npz"),
                                   image=torch.zeros(1, 64, 96, 3))
    assert len(pose) == 3 and (camera.width, camera.height) == (96, 64) and "poses of ours" in report
    node = pack["ContrappostoLoadBodyPose"]
    assert node.fingerprint_inputs("(take the path below)", str(tmp_path / "a.npz")) != node.fingerprint_inputs("(take the path below)", "")
    with pytest.raises(lib("checks").InputError, match="names no file"):
        execute("LoadBodyPose", body_file="(take the path below)", path=" ")
