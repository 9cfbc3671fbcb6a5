//! The categories of simulated parts and foods, and how each is looked at.

use std::fmt;

use shapeguard_core::grid::GridSize;

use super::defect::DefectKind;
use super::defect::DefectKind::{
    Bent, Bump, Contamination, Crack, Cut, Dent, Discoloration, Hole, MissingPart, Print, Scratch,
};

/// A kind of simulated part or food.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Round biscuit with a scalloped rim, docking holes and chocolate drops.
    Biscuit,
    /// Cast angle bracket with a rib and bolt holes.
    Bracket,
    /// Plastic connector housing with two rows of sockets and a latch.
    Connector,
    /// Agglomerated cork stopper, lying.
    Cork,
    /// Egg-crate foam block.
    FoamBlock,
    /// Spur gear with hub, bore and lightening holes.
    Gear,
    /// Two-leaf hinge with a knuckled barrel.
    Hinge,
    /// Pear with stalk and blush.
    Pear,
    /// Ring-shaped bread roll with seeds.
    RingRoll,
    /// Long edible root.
    Root,
    /// Spool of wound yarn, lying.
    Spool,
    /// Hexagonal plug with a thread, lying.
    ThreadedPlug,
}

/// Categories that no expert is ever trained on: one metal part, one plastic part, and two foods. They show what an
/// expert does on shapes it has not seen.
pub const HELD_BACK: [Category; 4] = [Category::Connector, Category::Gear, Category::Pear, Category::RingRoll];

const ALL: [Category; 12] = [
    Category::Biscuit,
    Category::Bracket,
    Category::Connector,
    Category::Cork,
    Category::FoamBlock,
    Category::Gear,
    Category::Hinge,
    Category::Pear,
    Category::RingRoll,
    Category::Root,
    Category::Spool,
    Category::ThreadedPlug,
];

/// How a category is placed and looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Rows and columns of the scan.
    pub size: GridSize,
    /// Footprint of one pixel on the table, millimetres. With it the part has 3,500 to 7,500 points at 224 x 224.
    pub pixel_mm: f32,
    /// Camera to table, millimetres.
    pub distance_mm: f32,
    /// Largest turn about the vertical, radians, to either side of the category's usual direction.
    pub yaw: f32,
    /// Largest tilt of the part on the table, radians.
    pub tilt: f32,
    /// Largest displacement from the image's centre, millimetres, in x and y.
    pub shift_mm: [f32; 2],
    /// Table's colour.
    pub table: [f32; 3],
}

impl View {
    /// The same place and part, seen by a camera of `scale` times the resolution.
    pub fn scaled(self, scale: f32) -> Self {
        let pixels = |count: usize| ((count as f32 * scale).round() as usize).max(1);
        Self {
            size: GridSize::new(pixels(self.size.rows), pixels(self.size.cols)),
            pixel_mm: self.pixel_mm / scale,
            ..self
        }
    }
}

impl Category {
    /// All categories, by name.
    pub const fn list() -> &'static [Category] {
        &ALL
    }

    /// The categories that no expert is trained on: [`HELD_BACK`].
    pub const fn held_back() -> &'static [Category] {
        &HELD_BACK
    }

    /// Whether no expert is ever trained on this category.
    pub fn is_held_back(self) -> bool {
        HELD_BACK.contains(&self)
    }

    /// The category of that name.
    pub fn by_name(name: &str) -> Option<Category> {
        ALL.into_iter().find(|category| category.name() == name)
    }

    /// The name, as folders are called.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Biscuit => "biscuit",
            Category::Bracket => "bracket",
            Category::Connector => "connector",
            Category::Cork => "cork",
            Category::FoamBlock => "foam-block",
            Category::Gear => "gear",
            Category::Hinge => "hinge",
            Category::Pear => "pear",
            Category::RingRoll => "ring-roll",
            Category::Root => "root",
            Category::Spool => "spool",
            Category::ThreadedPlug => "threaded-plug",
        }
    }

    /// Rows and columns of this category's scans.
    pub fn size(self) -> GridSize {
        self.view().size
    }

    /// The defects that this category can have.
    pub const fn defect_kinds(self) -> &'static [DefectKind] {
        match self {
            Category::Biscuit => &[Contamination, Crack, Discoloration, Hole, MissingPart],
            Category::Bracket => &[Bent, Bump, Contamination, Crack, Dent, Scratch],
            Category::Connector => &[Contamination, Dent, MissingPart, Print, Scratch],
            Category::Cork => &[Bump, Crack, Hole, MissingPart, Print],
            Category::FoamBlock => &[Contamination, Cut, Dent, Discoloration, Print],
            Category::Gear => &[Bump, Crack, Dent, Discoloration, MissingPart],
            Category::Hinge => &[Bent, Bump, Contamination, MissingPart, Scratch],
            Category::Pear => &[Contamination, Cut, Dent, Discoloration, Hole],
            Category::RingRoll => &[Bump, Contamination, Crack, Cut, Discoloration],
            Category::Root => &[Bent, Bump, Crack, Cut, Discoloration, Hole],
            Category::Spool => &[Contamination, Cut, Dent, Discoloration, MissingPart],
            Category::ThreadedPlug => &[Bump, Contamination, Cut, Dent, MissingPart, Scratch],
        }
    }

    pub(super) const fn view(self) -> View {
        use std::f32::consts::PI;
        const GREY: [f32; 3] = [0.20, 0.21, 0.22];
        const BLUE: [f32; 3] = [0.13, 0.17, 0.23];
        const BLACK: [f32; 3] = [0.10, 0.10, 0.11];
        const fn view(rows: usize, cols: usize, pixel_mm: f32, yaw: f32, table: [f32; 3]) -> View {
            View {
                size: GridSize::new(rows, cols),
                pixel_mm,
                distance_mm: 650.0,
                yaw,
                tilt: 0.02,
                shift_mm: [5.0, 5.0],
                table,
            }
        }
        match self {
            Category::Biscuit => view(400, 400, 0.41, PI, BLUE),
            Category::Bracket => view(350, 400, 0.45, 0.35, BLUE),
            Category::Connector => view(400, 400, 0.29, 0.25, GREY),
            Category::Cork => view(400, 400, 0.29, 0.50, BLUE),
            Category::FoamBlock => view(500, 500, 0.45, 0.20, GREY),
            Category::Gear => view(400, 400, 0.50, PI, GREY),
            Category::Hinge => view(400, 500, 0.38, 0.30, BLACK),
            Category::Pear => view(600, 600, 0.30, PI, GREY),
            Category::RingRoll => view(400, 400, 0.52, PI, BLUE),
            Category::Root => view(400, 800, 0.25, 0.10, BLACK),
            Category::Spool => view(350, 400, 0.34, 0.40, BLACK),
            Category::ThreadedPlug => view(400, 400, 0.35, 0.40, BLUE),
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
