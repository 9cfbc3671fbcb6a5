//! The parts and foods themselves: one file each, a signed distance field and a texture, both drawn per sample.

mod biscuit;
mod bracket;
mod connector;
mod cork;
mod foam_block;
mod gear;
mod hinge;
mod pear;
mod ring_roll;
mod root;
mod spool;
mod threaded_plug;

use super::category::Category;
use super::random::Draws;
use super::vector::{Bounds, Vec3};

/// A solid in its own frame: millimetres, z up, resting on the plane z = 0.
pub(super) trait Solid: Send + Sync {
    /// Distance to the surface, negative inside: true to first order near the surface, else a bound in the sense that
    /// [`Solid::step_scale`] times it is never more than the true distance.
    fn distance(&self, p: Vec3) -> f32;

    /// Share of [`Solid::distance`] that a ray may safely go.
    fn step_scale(&self) -> f32 {
        0.8
    }

    /// Colour of the surface at `p` with the outward normal `n`.
    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3];

    /// A box that the surface never leaves.
    fn bounds(&self) -> Bounds;

    /// Colour where a hole, a cut or a break opens the solid.
    fn inside_colour(&self) -> [f32; 3];

    /// Strength of the highlight, 0 (matte) to 1.
    fn gloss(&self) -> f32 {
        0.0
    }

    /// Pieces that can break off or be forgotten: a ball around each. Without any, a bite at the rim is taken.
    fn pieces(&self) -> Vec<Piece> {
        Vec::new()
    }
}

/// A piece of a solid that may be missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub centre: Vec3,
    pub half: Vec3,
}

/// One sample of a category.
pub(super) fn build(category: Category, draws: &mut Draws) -> Box<dyn Solid> {
    match category {
        Category::Biscuit => Box::new(biscuit::Biscuit::draw(draws)),
        Category::Bracket => Box::new(bracket::Bracket::draw(draws)),
        Category::Connector => Box::new(connector::Connector::draw(draws)),
        Category::Cork => Box::new(cork::Cork::draw(draws)),
        Category::FoamBlock => Box::new(foam_block::FoamBlock::draw(draws)),
        Category::Gear => Box::new(gear::Gear::draw(draws)),
        Category::Hinge => Box::new(hinge::Hinge::draw(draws)),
        Category::Pear => Box::new(pear::Pear::draw(draws)),
        Category::RingRoll => Box::new(ring_roll::RingRoll::draw(draws)),
        Category::Root => Box::new(root::Root::draw(draws)),
        Category::Spool => Box::new(spool::Spool::draw(draws)),
        Category::ThreadedPlug => Box::new(threaded_plug::ThreadedPlug::draw(draws)),
    }
}
