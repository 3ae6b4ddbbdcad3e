"""Every kind of pose prior file is read; nothing else is, and no pickled code runs."""

import json
import os
import pickle

import pytest
import torch
import vposer_weights as oracle
from safetensors.torch import save_file

from contrapposto.models.assets.files import read_safetensors
from contrapposto.models.checks import InputError
from contrapposto.models.pose_prior.vposer import PosePrior, load_pose_prior
from contrapposto.models.pose_prior.vposer_file import VPoserConfig, write_vposer

CODES = torch.randn(4, 32, generator=torch.Generator().manual_seed(2))


def small_prior(**differs):
    torch.manual_seed(1)
    return PosePrior(VPoserConfig(width=24, **differs)).eval()


def lightning(state):
    """What a V02_05 checkpoint looks like: prefixed weights, body-model buffers, bookkeeping."""
    weights = {f"vp_model.{key}": value for key, value in state.items()}
    return {"epoch": 13, "state_dict": {**weights, "bm_train.init_v_template": torch.zeros(1, 10, 3)}, "callbacks": {"best": 0.03}}


def same_poses(path, state, names, slope):
    decoded = load_pose_prior(path).decode(CODES)
    torch.testing.assert_close(decoded, oracle.plain_decode(state, names, CODES, slope), atol=1e-5, rtol=0)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_v1_snapshot(tmp_path, zipped):
    state = oracle.random_weights(oracle.V1)
    torch.save(state, tmp_path / "TR00_E096.pt", _use_new_zipfile_serialization=zipped)
    same_poses(tmp_path / "TR00_E096.pt", state, oracle.V1, 0.2)


def test_v2_checkpoint_ignores_the_body_model(tmp_path):
    state = oracle.random_weights(oracle.V2)
    torch.save(lightning(state), tmp_path / "V02_05_epoch=13_val_loss=0.03.ckpt")
    same_poses(tmp_path / "V02_05_epoch=13_val_loss=0.03.ckpt", state, oracle.V2, 0.01)


def test_the_last_snapshot_of_a_vposer_folder_is_taken(tmp_path):
    (tmp_path / "V02_05" / "snapshots").mkdir(parents=True)
    for epoch, seed in (("13", 1), ("08", 2)):
        torch.save(lightning(oracle.random_weights(oracle.V2, seed)), tmp_path / "V02_05" / "snapshots" / f"V02_05_epoch={epoch}.ckpt")
    same_poses(tmp_path / "V02_05", oracle.random_weights(oracle.V2, 1), oracle.V2, 0.01)


@pytest.mark.parametrize("names, slope", [(oracle.V1, 0.2), (oracle.V2, 0.01)])
def test_foreign_weights_as_safetensors(tmp_path, names, slope):
    state = oracle.random_weights(names)
    save_file(state, tmp_path / "vposer.safetensors")
    same_poses(tmp_path / "vposer.safetensors", state, names, slope)


@pytest.mark.parametrize("differs", [{}, {"linear_encoder_out": True, "slope": 0.01}])
def test_our_own_file_comes_back_with_its_config(tmp_path, differs):
    prior, path = small_prior(**differs), tmp_path / "prior.safetensors"
    write_vposer(path, prior.config, prior.state_dict(), {"commit": "abc"})
    loaded = load_pose_prior(path)
    assert loaded.config == prior.config
    torch.testing.assert_close(loaded.decode(CODES), prior.decode(CODES), atol=5e-3, rtol=0)
    assert read_safetensors(path)[1]["commit"] == "abc"


def test_a_name_is_looked_up_in_the_search_folders(tmp_path, monkeypatch):
    (tmp_path / "pose_priors").mkdir()
    prior = small_prior()
    write_vposer(tmp_path / "pose_priors" / "mine.safetensors", prior.config, prior.state_dict(), {})
    monkeypatch.setenv("CONTRAPPOSTO_MODELS", str(tmp_path))
    assert load_pose_prior("mine.safetensors").config.width == 24
    with pytest.raises(InputError, match="was not found"):
        load_pose_prior("other.safetensors")


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
def test_code_in_a_checkpoint_never_runs(tmp_path, suffix):
    mark = tmp_path / "ran"
    for number, content in enumerate((Trap(mark), {"state_dict": {}, "hyper_parameters": Trap(mark)})):
        path = tmp_path / f"trap{number}{suffix}"
        torch.save(content, path)
        with pytest.raises(InputError, match="could run code"):
            load_pose_prior(path)
    (tmp_path / f"raw{suffix}").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(InputError):
        load_pose_prior(tmp_path / f"raw{suffix}")
    assert not mark.exists()


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".safetensors"])
def test_damaged_files_are_named(tmp_path, suffix):
    path = tmp_path / f"prior{suffix}"
    state = oracle.random_weights(oracle.V1)
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    cut(path)
    with pytest.raises(InputError, match="Copy or download the file again") as caught:
        load_pose_prior(path)
    assert str(path) in str(caught.value)
    for content in (b"", b"\x00" * 500, b"not weights at all"):
        path.write_bytes(content)
        with pytest.raises(InputError):
            load_pose_prior(path)


def test_missing_and_mistyped_files_are_named(tmp_path):
    (tmp_path / "prior.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for path, problem in ((tmp_path / "none.pt", "does not exist"), (tmp_path / "prior.txt", "type .txt"),
                          (tmp_path / "empty", "without snapshots")):
        with pytest.raises(InputError, match=problem):
            load_pose_prior(path)


def broken_state(change):
    state = oracle.random_weights(oracle.V1)
    change(state)
    return state


@pytest.mark.parametrize("state, problem", [
    (broken_state(lambda s: s.pop("bodyprior_dec_fc2.weight")), "decoder_hidden.weight is None"),
    (broken_state(lambda s: s.update({"bodyprior_dec_out.weight": torch.zeros(138, 512)})), r"decoder_out.weight is \(138, 512\)"),
    (broken_state(lambda s: s["bodyprior_enc_mu.bias"].fill_(float("nan"))), "NaN or infinity in mean.bias"),
    ({"unet.weight": torch.zeros(3)}, "is not a VPoser"),
    ([torch.zeros(3)], "holds no weights"),
    ({"epoch": 3}, "holds no weights"),
])
def test_weights_that_do_not_fit_are_named(tmp_path, state, problem):
    torch.save(state, tmp_path / "prior.pt")
    with pytest.raises(InputError, match=problem):
        load_pose_prior(tmp_path / "prior.pt")


@pytest.mark.parametrize("network", [{"width": "wide"}, {"width": 10**9}, {"slope": -3.0}, {"layers": 4}, None])
def test_a_config_of_ours_that_is_nonsense_is_refused(tmp_path, network):
    config = {"format": "contrapposto pose prior", **({"network": network} if network else {})}
    save_file({"mean.weight": torch.zeros(3)}, tmp_path / "p.safetensors", metadata={"config": json.dumps(config)})
    with pytest.raises(InputError, match="network we do not know"):
        load_pose_prior(tmp_path / "p.safetensors")
