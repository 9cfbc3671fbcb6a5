"""Writes metrics.json: AUROC and the largest F1 by scikit-learn, for crates/shapeguard-core/src/metrics.rs.

Run: python metrics.py    (scikit-learn 1.9.1, numpy 2.4.6). Tolerance of the tests: 1e-12 (both compute in f64
from the same f32 scores).
"""

import json
import pathlib

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score

rng = np.random.default_rng(3)
cases = []
for name, n, share, digits in [("distinct", 60, 0.4, 6), ("many ties", 200, 0.3, 1), ("few positives", 150, 0.03, 2), ("signed", 80, 0.5, 3)]:
    positive = rng.random(n) < share
    scores = np.round(rng.normal(0, 1, n) + positive, digits)
    if name != "signed":
        scores = np.abs(scores)
    scores = scores.astype(np.float32)
    precision, recall, _ = precision_recall_curve(positive, scores)
    f1 = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300))
    cases.append({
        "name": name,
        "scores": [float(x) for x in scores],
        "positive": [bool(x) for x in positive],
        "auroc": float(roc_auc_score(positive, scores)),
        "f1_max": float(f1),
    })

path = pathlib.Path(__file__).with_name("metrics.json")
path.write_text("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]\n")
