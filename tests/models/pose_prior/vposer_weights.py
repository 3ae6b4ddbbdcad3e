"""Random VPoser weights under the names that each version's files use, and straight re-implementations of both networks."""

import torch
from torch.nn.functional import batch_norm, leaky_relu, linear, softplus

V1 = {"norm_in": "bodyprior_enc_bn1", "in": "bodyprior_enc_fc1", "norm": "bodyprior_enc_bn2", "hidden": "bodyprior_enc_fc2",
      "mean": "bodyprior_enc_mu", "std": "bodyprior_enc_logvar", "d1": "bodyprior_dec_fc1", "d2": "bodyprior_dec_fc2",
      "d3": "bodyprior_dec_out"}
V2 = {"norm_in": "encoder_net.1", "in": "encoder_net.2", "norm": "encoder_net.4", "hidden": "encoder_net.6", "last": "encoder_net.7",
      "mean": "encoder_net.8.mu", "std": "encoder_net.8.logvar", "d1": "decoder_net.0", "d2": "decoder_net.3", "d3": "decoder_net.5"}
SIZES = {"in": (512, 63), "hidden": (512, 512), "last": (512, 512), "mean": (32, 512), "std": (32, 512), "d1": (512, 32),
         "d2": (512, 512), "d3": (126, 512)}


def random_weights(names, seed=0):
    """A state dict with weights of a lively size and batch norms that are far from trivial."""
    draw = torch.Generator().manual_seed(seed)
    state = {}
    for layer, name in names.items():
        if layer in SIZES:
            out, width = SIZES[layer]
            state[f"{name}.weight"] = torch.randn(out, width, generator=draw) / width**0.5
            state[f"{name}.bias"] = 0.3 * torch.randn(out, generator=draw)
        else:
            width = 63 if layer == "norm_in" else 512
            state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=draw)
            state[f"{name}.bias"] = torch.randn(width, generator=draw)
            state[f"{name}.running_mean"] = torch.randn(width, generator=draw)
            state[f"{name}.running_var"] = 0.2 + torch.rand(width, generator=draw)
            state[f"{name}.num_batches_tracked"] = torch.tensor(7)
    return state


def plain_encode(state, names, rotvec, slope, extra_layer):
    """Mean and std (B, 32) of poses (B, 63), step by step as the papers' tables list them."""
    def dense(layer, x):
        return linear(x, state[names[layer] + ".weight"], state[names[layer] + ".bias"])

    def norm(layer, x):
        parts = [state[f"{names[layer]}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *parts, training=False)

    x = norm("norm", leaky_relu(dense("in", norm("norm_in", rotvec)), slope))
    x = dense("hidden", x)
    x = dense("last", x) if extra_layer else leaky_relu(x, slope)
    return dense("mean", x), softplus(dense("std", x))


def plain_decode(state, names, codes, slope):
    """Rotmats (B, 21, 3, 3) of codes (B, 32); each joint's six numbers fill a 3 x 2 matrix row by row."""
    def dense(layer, x):
        return linear(x, state[names[layer] + ".weight"], state[names[layer] + ".bias"])

    six = dense("d3", leaky_relu(dense("d2", leaky_relu(dense("d1", codes), slope)), slope)).reshape(-1, 21, 3, 2)
    first = six[..., 0] / six[..., 0].norm(dim=-1, keepdim=True)
    second = six[..., 1] - (first * six[..., 1]).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    third = torch.linalg.cross(first, second)
    return torch.stack([first, second, third], -1)
