//! The scan simulator: simulated parts and foods seen by a structured-light camera.
