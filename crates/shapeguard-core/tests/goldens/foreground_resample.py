"""Writes foreground_dbscan.json (scikit-learn) and resample.json (torch) beside itself.

Run with the versions of foreground_resample.md: python foreground_resample.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import DBSCAN

HERE = Path(__file__).parent


def dbscan_golden():
    """Two blobs that share border points, a thin bridge, and noise; coordinates in whole tenths of a millimetre."""
    rng = np.random.default_rng(7)
    blobs = [rng.normal(c, 6.0, (220, 3)) for c in ([0, 0, 400], [34, 5, 402])]
    bridge = np.stack([np.linspace(-60, -20, 60), np.zeros(60), np.full(60, 400)], 1) + rng.normal(0, 1.5, (60, 3))
    noise = rng.uniform([-90, -60, 360], [90, 60, 440], (160, 3))
    points = rng.permutation(np.round(np.concatenate([*blobs, bridge, noise]), 1))
    cases = []
    for eps, min_points in [(6.0, 8), (4.0, 5), (9.0, 30)]:
        labels = DBSCAN(eps=eps, min_samples=min_points).fit_predict(points.astype(np.float32))
        cases.append({"eps": eps, "min_points": min_points, "labels": labels.tolist()})
        print("dbscan", eps, min_points, np.unique(labels, return_counts=True))
    return {"points": points.tolist(), "cases": cases}


def resample_golden():
    rng = np.random.default_rng(11)
    cases = []
    for source, target in [((23, 29), (9, 7)), ((12, 10), (17, 21)), ((40, 33), (11, 33))]:
        image = rng.integers(0, 256, (*source, 3), dtype=np.uint8)
        image[:4] = 0
        image[:, -3:] = 0
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255
        resized = torch.nn.functional.interpolate(
            tensor, size=target, mode="bicubic", antialias=True, align_corners=False
        )[0].permute(1, 2, 0)
        cases.append(
            {
                "source": source,
                "target": target,
                "image": image.reshape(-1, 3).tolist(),
                "resized": np.round(resized.numpy().reshape(-1, 3), 7).tolist(),
            }
        )
    return cases


for name, data in [("foreground_dbscan.json", dbscan_golden()), ("resample.json", resample_golden())]:
    (HERE / name).write_text(json.dumps(data, separators=(",", ":")) + "\n")
