"""Writes omp.json: sparse codes by scikit-learn, for crates/shapeguard-core/src/sparse_coding.rs.

Run: python omp.py    (scikit-learn 1.9.1, numpy 2.4.6). Tolerance of the tests: 1e-4 absolute.
Inputs are f32 values; scikit-learn computes in f64, once through sparse_encode and once through
orthogonal_mp_gram, which must agree.
"""

import json
import pathlib
import warnings

import numpy as np
from sklearn.decomposition import sparse_encode
from sklearn.linear_model import orthogonal_mp_gram

warnings.simplefilter("ignore", RuntimeWarning)  # "premature end", which is what several cases are about


def case(name, signal, dictionary, nonzeros):
    # Rounded to 7 significant digits first, so that the file holds exactly what was coded.
    signal = np.array([float(f"{x:.7g}") for x in signal], dtype=np.float32).astype(np.float64)
    dictionary = np.array([[float(f"{x:.7g}") for x in row] for row in dictionary], dtype=np.float32).astype(np.float64)
    nonzeros = min(nonzeros, len(dictionary))
    code = orthogonal_mp_gram(dictionary @ dictionary.T, dictionary @ signal, n_nonzero_coefs=nonzeros).reshape(-1)
    encoded = sparse_encode(signal[None], dictionary, algorithm="omp", n_nonzero_coefs=nonzeros)[0]
    assert np.allclose(code, encoded, atol=1e-9), name
    rebuilt = code @ dictionary
    short = lambda values: [float(f"{x:.7g}") for x in np.asarray(values).reshape(-1)]
    return {
        "name": name,
        "dimension": len(signal),
        "signal": short(signal),
        "dictionary": short(dictionary),
        "code": short(code),
        "reconstruction": short(rebuilt),
        "residual": float(f"{np.linalg.norm(signal - rebuilt):.7g}"),
    }


rng = np.random.default_rng(7)
cases = []


def add(name, signal, dictionary, nonzeros=3):
    cases.append({**case(name, signal, dictionary, nonzeros), "nonzeros": nonzeros})


for _ in range(4):
    # Like neighbours in a bank: non-negative, close to the signal.
    signal = np.maximum(rng.normal(0.3, 0.5, 24), 0)
    add("normal", signal, np.maximum(signal + rng.normal(0, 0.2, (10, 24)), 0))
atoms = rng.normal(0, 1, (4, 16))
add("duplicates", rng.normal(0, 1, 16), np.concatenate([atoms[:2], atoms[:2], atoms]), 5)
# Two atoms span a plane, the third lies in it (exactly: all values are multiples of 1/64): only two can be used.
plane = np.round(rng.normal(0, 1, (2, 8)) * 16) / 16
add("dependent", rng.normal(0, 1, 8), np.stack([plane[0], plane[1], 0.5 * plane[0] - 0.25 * plane[1]]), 3)
add("zero signal", np.zeros(12), rng.normal(0, 1, (5, 12)))
atoms = rng.normal(0, 1, (6, 12))
add("an atom", atoms[4], atoms)
add("negative", -rng.uniform(0.5, 1, 12), rng.uniform(0, 1, (8, 12)))
add("fewer atoms", rng.normal(0, 1, 12), rng.normal(0, 1, (2, 12)), 3)
for _ in range(2):
    signal = rng.normal(0, 1, 64)
    add("colour size", signal, signal + rng.normal(0, 0.6, (5, 64)))

path = pathlib.Path(__file__).with_name("omp.json")
path.write_text("[\n" + ",\n".join(json.dumps(one) for one in cases) + "\n]\n")
