"""Writes blur_in_8_bits.json beside itself: images of 8 bits and Pillow's GaussianBlur of them.

Run with the versions of blur_in_8_bits.md: python blur_in_8_bits.py
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

HERE = Path(__file__).parent

rng = np.random.default_rng(3)
cases = []
sizes_at_4 = [(24, 31), (7, 5), (1, 20), (3, 3)]
others = [((20, 16), 2.0), ((16, 20), 0.5), ((18, 13), 8.0), ((20, 20), 1.3)]
for size, sigma in [(size, 4.0) for size in sizes_at_4] + others:
    image = rng.integers(0, 256, size, dtype=np.uint8)
    # Mostly dark with some peaks, as score maps are.
    image[rng.random(size) < 0.7] //= 16
    blurred = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))
    cases.append({"size": size, "sigma": sigma, "image": image.ravel().tolist(), "blurred": blurred.ravel().tolist()})

(HERE / "blur_in_8_bits.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
