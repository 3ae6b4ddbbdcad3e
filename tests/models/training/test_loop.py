"""The shared training loop on a toy: a linear map learnt from noisy rows."""

import json
import shutil

import pytest
import torch

from contrapposto.models.checks import InputError
from contrapposto.models.training.loop import LoopConfig, RunFolder, TrainingStopped, learning_rate, source_commit, train

CONFIG = LoopConfig(steps=30, batch=8, lr=0.02, warmup=5, ema=0.9, log_every=5, validate_every=10, save_seconds=1e9)
INPUTS = torch.linspace(-1, 1, 64)[:, None].expand(64, 3) * torch.tensor([1.0, -0.5, 0.2])
TARGETS = INPUTS.sum(1, keepdim=True)


def toy():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1))


def draw(generator):
    return torch.randint(64, (8,), generator=generator)


def loss(model, rows, step, generator):
    noise = 0.01 * torch.randn(len(rows), 1, generator=generator)
    return {"loss": (model(INPUTS[rows]) - TARGETS[rows] + noise).square().mean()}


def run_folder(path, config=CONFIG):
    return RunFolder(path, {"loop": vars(config)})


def curve(run):
    return [json.loads(line) for line in run.curve.read_text().splitlines()]


class Killed(Exception):
    pass


def kill_at(step):
    def on_step(done):
        if done == step:
            raise Killed
    return on_step


def test_training_learns_and_leaves_a_full_run_folder(tmp_path):
    run, config = run_folder(tmp_path / "run"), CONFIG
    seen = []
    model = train(toy(), draw, loss, config, run, validate=lambda m: {"val": (m(INPUTS) - TARGETS).square().mean()}, on_step=seen.append)
    lines = curve(run)
    assert seen == list(range(1, 31)) and not model.training
    assert [x["step"] for x in lines if "loss" in x] == [5, 10, 15, 20, 25, 30]
    validations = [x["val"] for x in lines if "val" in x]
    assert run.curve_picture.stat().st_size > 1000
    assert len(validations) == 3 and validations[-1] < 0.5 * validations[0]
    assert json.loads((run.path / "config.json").read_text())["commit"] == source_commit()
    assert not list(run.path.glob("*.part*"))


def test_resumed_run_equals_the_undisturbed_one_bit_for_bit(tmp_path):
    whole = train(toy(), draw, loss, CONFIG, run_folder(tmp_path / "whole"))
    saving = run_folder(tmp_path / "broken", LoopConfig(**{**vars(CONFIG), "save_seconds": 0.0}))
    with pytest.raises(Killed):
        train(toy(), draw, loss, LoopConfig(**saving.config["loop"]), saving, on_step=kill_at(13))
    torch.rand(7)  # the state of the global generator must not matter
    resumed = train(toy(), draw, loss, LoopConfig(**saving.config["loop"]), saving)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert curve(saving) == curve(run_folder(tmp_path / "whole"))


def test_curve_lines_after_the_checkpoint_are_written_once(tmp_path):
    config = LoopConfig(**{**vars(CONFIG), "save_seconds": 0.0})
    run, at_ten = run_folder(tmp_path / "run", config), tmp_path / "ten.pt"

    def on_step(step):
        if step == 10:
            shutil.copy(run.checkpoint, at_ten)
        kill_at(17)(step)

    with pytest.raises(Killed):
        train(toy(), draw, loss, config, run, on_step=on_step)
    shutil.copy(at_ten, run.checkpoint)
    train(toy(), draw, loss, config, run)
    assert [x["step"] for x in curve(run)] == [5, 10, 15, 20, 25, 30]


def test_a_finished_run_is_not_trained_again(tmp_path):
    run, steps = run_folder(tmp_path / "run"), []
    first = train(toy(), draw, loss, CONFIG, run)
    again = train(toy(), draw, loss, CONFIG, run, on_step=steps.append)
    assert steps == [] and torch.equal(first[0].weight, again[0].weight)


def test_another_config_refuses_to_continue(tmp_path):
    train(toy(), draw, loss, CONFIG, run_folder(tmp_path / "run"))
    other = LoopConfig(**{**vars(CONFIG), "lr": 0.5})
    with pytest.raises(InputError, match="holds a run with another loop"):
        train(toy(), draw, loss, other, run_folder(tmp_path / "run", other))


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_not_a_number_stops_with_step_and_rows(tmp_path, broken):
    run, model = run_folder(tmp_path / "run"), toy()
    before = {}

    def breaking(model, rows, step, generator):
        value = loss(model, rows, step, generator)["loss"]
        if step == 7:
            before.update({k: v.clone() for k, v in model.named_parameters()})
            hollow = model[0].weight.sum() * 0
            value = value / 0 * 0 if broken == "loss" else value + hollow.sqrt()
        return {"loss": value}

    with pytest.raises(TrainingStopped, match="at step 7") as caught:
        train(model, draw, breaking, CONFIG, run)
    note = json.loads((run.path / "stopped.json").read_text())
    expected = draw(torch.Generator().manual_seed(7)).tolist()
    assert caught.value.step == note["step"] == 7 and caught.value.rows == note["rows"] == expected
    assert all(torch.equal(v, before[k]) for k, v in model.named_parameters())


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = run_folder(tmp_path / "run")
    train(toy(), draw, loss, CONFIG, run)
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:200])
    with pytest.raises(InputError, match="checkpoint"):
        train(toy(), draw, loss, CONFIG, run)


def test_a_full_disk_loses_no_earlier_checkpoint(tmp_path, monkeypatch):
    config = LoopConfig(**{**vars(CONFIG), "save_seconds": 0.0})
    run, whole = run_folder(tmp_path / "run", config), torch.save

    def half_written(state, part):
        whole(state, part)
        if state["step"] == 9:
            part.write_bytes(part.read_bytes()[:100])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(InputError, match="No space left on device"):
        train(toy(), draw, loss, config, run)
    assert run.load("cpu")["step"] == 8 and not list(run.path.glob(".*.part*"))


def test_a_curve_that_was_cut_in_its_last_line_goes_on(tmp_path):
    run = run_folder(tmp_path / "run")
    train(toy(), draw, loss, CONFIG, run)
    lines = run.lines()
    run.curve.write_text(run.curve.read_text()[:-7])
    assert run.lines() == lines[:-1]
    run.forget_after(lines[-1]["step"])
    run.log(99, loss=1.0)
    assert run.lines() == [*lines[:-1], {"step": 99, "loss": 1.0}]


def test_learning_rate_rises_then_falls_along_a_cosine():
    config = LoopConfig(steps=110, batch=1, lr=2.0, warmup=10, final_lr=0.1)
    assert learning_rate(config, 5) == 1.0 and learning_rate(config, 10) == 2.0
    assert learning_rate(config, 60) == pytest.approx(2.0 * 0.55)
    assert learning_rate(config, 110) == pytest.approx(0.2)
