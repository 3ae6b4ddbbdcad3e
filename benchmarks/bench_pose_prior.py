"""The pose prior against human_body_prior's own VPoser v1 class, on the same random weights."""

from __future__ import annotations

import importlib
import sys
import types
from functools import partial
from unittest import mock

import torch

from benchmarks.timing import interleaved, row
from contrapposto.models.pose_prior.vposer import PosePrior
from contrapposto.models.pose_prior.vposer_file import V1_LAYERS, VPoserConfig
from contrapposto.models.rotations import rotvec_to_rotmat


def run(rounds=15):
    """Rows for encoding and decoding one pose and 4096. Encoding starts from rotmats here and from rotvecs there."""
    prior, reference = PosePrior(VPoserConfig("v1")).eval(), _reference()
    theirs = reference.state_dict()
    prior.load_state_dict({key: theirs[_their_name(key)] for key in prior.state_dict()})
    rows = []
    for count in (1, 4096):
        codes, rotvec = torch.randn(count, 32), torch.randn(count, 21, 3) * 0.4
        body_pose = rotvec_to_rotmat(rotvec)
        with torch.no_grad():
            difference = (prior.decode(codes) - reference.decode(codes).view(-1, 21, 3, 3)).abs().max()
            assert difference < 1e-5, f"not the same poses: {difference}"
            decoding = interleaved(partial(prior.decode, codes), partial(reference.decode, codes), rounds, warmup=2)
            encoding = interleaved(partial(prior.encode, body_pose), partial(reference.encode, rotvec), rounds, warmup=2)
        rows.append(row(f"decode {count} poses, vs human_body_prior v1", *decoding, "-"))
        rows.append(row(f"encode {count} poses, vs human_body_prior v1", *encoding, "-"))
    return rows


def _their_name(key):
    layer, _, part = key.rpartition(".")
    return f"{V1_LAYERS[layer]}.{part}"


def _reference():
    """human_body_prior's class; what its module imports besides is not needed here and is replaced by empty modules."""
    names = ("torchgeometry", "configer", "human_body_prior.tools.omni_tools", "human_body_prior.body_model.body_model")
    stubs = {name: types.ModuleType(name) for name in names}
    for stub in stubs.values():
        stub.Configer = stub.copy2cpu = stub.log2file = stub.makepath = stub.BodyModel = None
    with mock.patch.dict(sys.modules, stubs):
        return importlib.import_module("human_body_prior.train.vposer_smpl").VPoser(512, 32, [1, 21, 3]).eval()


if __name__ == "__main__":
    from benchmarks.__main__ import table

    print(table(run()))
