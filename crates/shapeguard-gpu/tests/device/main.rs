//! What the device computes, beside what the processor does. The device is the one that `SHAPEGUARD_TEST_GPU` names, as
//! after `--device`, else Mesa's software device. Where there is none, the tests say so and pass, unless
//! `SHAPEGUARD_REQUIRE_GPU=1` promises one.

mod appearance;
mod failure;
mod search;
mod shape;
mod support;
