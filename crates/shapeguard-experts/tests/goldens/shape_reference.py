"""Writes shape_tiny.safetensors and shape_tiny_io.safetensors; see README-shape.md.

A tiny PointNet + NIF in PyTorch, with batch norm (random running statistics, evaluation mode) and weight norm as
in training. The outputs come from these unfolded modules; the weight file holds the folded weights.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

ARCHITECTURE = {"encoder_point": [8, 20, 40], "encoder_dense": [24, 10], "nif_width": 18, "nif_hidden": 2}
PATCHES, POINTS = 4, 37

torch.manual_seed(20)
here = pathlib.Path(__file__).parent


def norm(width):
    layer = nn.BatchNorm1d(width)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias, std=0.2)
    layer.running_mean.normal_(std=0.3)
    layer.running_var.uniform_(0.5, 2.0)
    return layer


def fold(linear, batch_norm):
    """weight [out, in] and bias of `batch_norm(linear(x))` in evaluation mode."""
    scale = batch_norm.weight / torch.sqrt(batch_norm.running_var + batch_norm.eps)
    weight = linear.weight.flatten(1) * scale[:, None]
    return weight, (linear.bias - batch_norm.running_mean) * scale + batch_norm.bias


widths = [3] + ARCHITECTURE["encoder_point"]
point = [(nn.Conv1d(i, o, 1), norm(o)) for i, o in zip(widths, widths[1:])]
widths = widths[-1:] + ARCHITECTURE["encoder_dense"]
dense = [(nn.Linear(i, o), norm(o)) for i, o in zip(widths, widths[1:])]
w = ARCHITECTURE["nif_width"]
query, code, merge = nn.Linear(3, w), nn.Linear(widths[-1], w), nn.Linear(2 * w, w)
hidden = [nn.Linear(w, w) for _ in range(ARCHITECTURE["nif_hidden"])]
for layer in (query, code, merge, *hidden):
    nn.init.kaiming_normal_(layer.weight)
hidden = [weight_norm(layer, dim=0) for layer in hidden]
for layer in hidden:
    nn.init.uniform_(layer.parametrizations.weight.original0, 1.0, 2.0)
out = nn.Linear(w, 1)

with torch.no_grad():
    points = torch.rand(PATCHES, POINTS, 3) - 0.5
    x = points.transpose(1, 2)
    for conv, bn in point:
        x = torch.relu(bn.eval()(conv(x)))
    f = x.amax(2)
    for linear, bn in dense:
        f = torch.relu(bn.eval()(linear(f)))
    queries = torch.rand(PATCHES, POINTS, 3) - 0.5
    a = torch.relu(query(queries))
    c = torch.relu(code(f))[:, None, :].expand(-1, POINTS, -1)
    h = torch.relu(merge(torch.cat([a, c], 2)))
    for layer in hidden:
        h = torch.relu(layer(h))
    distances = out(h).squeeze(2)

    tensors = {}
    for part, layers in (("point", point), ("dense", dense)):
        for i, (linear, bn) in enumerate(layers):
            weight, bias = fold(linear, bn)
            tensors[f"encoder.{part}.{i}.weight"], tensors[f"encoder.{part}.{i}.bias"] = weight, bias
    named = {"query": query, "code": code, "merge": merge, "out": out}
    named |= {f"hidden.{i}": layer for i, layer in enumerate(hidden)}
    for name, layer in named.items():
        tensors[f"nif.{name}.weight"], tensors[f"nif.{name}.bias"] = layer.weight.detach(), layer.bias.detach()

metadata = {"format": "shapeguard-shape-expert", "version": "1", "architecture": json.dumps(ARCHITECTURE)}
metadata["trained_on"] = "untrained"
save_file({k: v.detach().contiguous() for k, v in tensors.items()}, here / "shape_tiny.safetensors", metadata)
io = {"points": points, "features": f, "queries": queries, "distances": distances}
save_file({k: v.contiguous() for k, v in io.items()}, here / "shape_tiny_io.safetensors")
print("features", f.abs().mean().item(), "distances", distances.std().item(), "torch", torch.__version__)
