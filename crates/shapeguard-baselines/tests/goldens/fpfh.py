"""Writes fpfh.json; see README.md.

    python fpfh.py
"""

import json
from pathlib import Path

import numpy as np
import open3d as o3d

HERE = Path(__file__).resolve().parent
SEED = 7
POINTS = 300
# Both limits of the hybrid search matter: some points have fewer neighbours within the radius than the most allowed.
NORMAL_RADIUS_M, NORMAL_NEIGHBOURS = 0.006, 20
FEATURE_RADIUS_M, FEATURE_NEIGHBOURS = 0.010, 60
KEPT = 5


def cloud():
    """A bumpy sheet 0.4 m before the camera, irregularly sampled, in single precision as the program has it."""
    random = np.random.default_rng(SEED)
    x, y = random.uniform(-0.02, 0.02, (2, POINTS))
    z = 0.4 + 0.004 * np.sin(200 * x) * np.cos(150 * y) + 0.3 * x + random.normal(0, 0.0002, POINTS)
    return np.stack([x, y, z], 1).astype(np.float32)


def search(radius, neighbours):
    return o3d.geometry.KDTreeSearchParamHybrid(radius=radius, max_nn=neighbours)


def main():
    points = cloud()
    pcd = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points.astype(np.float64)))
    # Eigen's solver rather than Open3D's closed form, which is less exact.
    pcd.estimate_normals(search(NORMAL_RADIUS_M, NORMAL_NEIGHBOURS), fast_normal_computation=False)
    # Open3D leaves the signs to the solver.
    pcd.orient_normals_towards_camera_location([0.0, 0.0, 0.0])
    normals = np.asarray(pcd.normals).round(12)
    # Points with the same neighbours have the same normal, and which of a pair is the origin hangs on its last digit: so
    # the features are computed with normals that are all different.
    given = normals + np.random.default_rng(SEED).normal(0, 0.02, normals.shape)
    given = (given / np.linalg.norm(given, axis=1, keepdims=True)).round(12)
    pcd.normals = o3d.utility.Vector3dVector(given)
    feature = o3d.pipelines.registration.compute_fpfh_feature(pcd, search(FEATURE_RADIUS_M, FEATURE_NEIGHBOURS))
    golden = {
        "normal_radius_m": NORMAL_RADIUS_M,
        "normal_neighbours": NORMAL_NEIGHBOURS,
        "feature_radius_m": FEATURE_RADIUS_M,
        "feature_neighbours": FEATURE_NEIGHBOURS,
        "points_m": points.tolist(),
        "normals": normals.tolist(),
        "given_normals": given.tolist(),
        "kept_every": KEPT,
        "fpfh": np.asarray(feature.data).T[::KEPT].round(6).tolist(),
    }
    (HERE / "fpfh.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
