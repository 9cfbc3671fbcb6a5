"""A station as PyPI's tritonclient meets it: run by cli/open_inference.rs, which compares what is printed.

    python open_inference.py ADDRESS MODEL TOKEN SCAN ROWS COLS

SCAN.xyz holds float32 coordinates, SCAN.rgb bytes, both row by row.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

OUTPUTS = ["verdict", "score", "threshold", "p_value", "anomaly_map", "record"]


def tensors(xyz, rgb, binary):
    inputs = [triton.InferInput("xyz", xyz.shape, "FP32"), triton.InferInput("rgb", rgb.shape, "UINT8")]
    for tensor, values in zip(inputs, (xyz, rgb)):
        tensor.set_data_from_numpy(values, binary_data=binary)
    return inputs


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("not refused")


def plain(result):
    """What an answer says, the map as its shape and largest value."""
    response = result.get_response()
    told = {output["name"]: result.as_numpy(output["name"]) for output in response["outputs"]}
    said = {"order": list(told), "id": response.get("id"), "model": response["model_name"]}
    said["inspection"] = response["parameters"]["inspection"]
    for name, values in told.items():
        if name == "anomaly_map":
            said[name] = {"shape": values.shape, "largest": float(values.max()) if values.size else None}
        elif values.dtype == np.object_:
            text = values[0]
            said[name] = text.decode() if isinstance(text, bytes) else text
        else:
            said[name] = [float(value) for value in values]
    return said


def main():
    address, model, token, scan, rows, cols = sys.argv[1:]
    shape = (int(rows), int(cols), 3)
    xyz = np.fromfile(scan + ".xyz", "<f4").reshape(shape)
    rgb = np.fromfile(scan + ".rgb", np.uint8).reshape(shape)
    headers = {"Authorization": "Bearer " + token}
    client = triton.InferenceServerClient(address)

    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(model, headers=headers)
    assert not client.is_model_ready("none", headers=headers)
    metadata = client.get_model_metadata(model, headers=headers)
    version = metadata["versions"][0]
    assert client.is_model_ready(model, version, headers=headers)
    assert not client.is_model_ready(model, "1", headers=headers)

    def infer(inputs, outputs=None, version="", **more):
        # What the client adds to headers for one request must not come with the next.
        return client.infer(model, inputs, version, outputs, headers=dict(headers), **more)

    def wanted(names, binary):
        return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]

    binary, text = tensors(xyz, rgb, True), tensors(xyz, rgb, False)
    mixed = [binary[0], text[1]]
    nothing = np.full(shape, np.nan, np.float32)
    parameters = {"serial": "A-17", "meta.line": "3"}
    said = {
        "server": client.get_server_metadata(headers=headers),
        "model": metadata,
        "binary": plain(infer(binary, request_id="one", parameters=parameters)),
        "json": plain(infer(text, wanted(OUTPUTS, False), version)),
        "mixed": plain(infer(mixed, wanted(["score"], True) + wanted(["verdict"], False))),
        "nothing": plain(infer(tensors(nothing, rgb, True))),
        "wrong_shape": refused(lambda: infer(tensors(xyz[:-1], rgb, True))),
        "wrong_datatype": refused(lambda: infer([triton.InferInput("xyz", shape, "FP64"), binary[1]])),
        "unknown_output": refused(lambda: infer(binary, wanted(["heat"], True))),
        "sequence": refused(lambda: infer(binary, sequence_id=3, sequence_start=True)),
        "compressed": refused(lambda: infer(binary, request_compression_algorithm="gzip")),
        "no_token": refused(lambda: client.get_model_metadata(model)),
        "other_version": refused(lambda: infer(binary, version="1")),
    }
    json.dump(said, sys.stdout)


main()
