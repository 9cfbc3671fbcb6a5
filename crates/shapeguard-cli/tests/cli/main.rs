//! The program as its users run it. One binary, so that one small dataset and one model serve all tests.
//!
//! No test asks for accuracy: what a model of four training scans says is compared with itself.

mod support;

mod bad_input;
mod bench;
mod device;
mod help;
mod open_inference;
mod reproduce;
mod several;
mod station;
mod station_limits;
mod station_load;
mod watch;
mod whole_way;
