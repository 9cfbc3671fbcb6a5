//! The filled outline of a part: the part and every pixel that it encloses (docs/method.md, "Foreground").

use crate::grid::{GridSize, Mask};

/// Everything but what is connected, in the four directions, with the outside of the image without crossing `part`.
pub fn filled_outline(part: &Mask) -> Mask {
    let size = part.size();
    let Some((rows, cols)) = bounding_box(part) else { return Mask::filled(size, false) };
    // One ring around the bounding box belongs to the outside, inside the image or not.
    let window = GridSize::new(rows.len() + 2, cols.len() + 2);
    let mut open = vec![true; window.area()];
    for row in rows.clone() {
        let start = (row - rows.start + 1) * window.cols + 1;
        for (open, part) in open[start..].iter_mut().zip(&part.row(row)[cols.clone()]) {
            *open = !part;
        }
    }
    flood(&mut open, window);
    let mut outline = Mask::filled(size, false);
    for row in rows.clone() {
        let start = (row - rows.start + 1) * window.cols + 1;
        let target = &mut outline.as_mut_slice()[row * size.cols..][cols.clone()];
        // What is still open after the flood is enclosed.
        for ((target, open), part) in target.iter_mut().zip(&open[start..]).zip(&part.row(row)[cols.clone()]) {
            *target = *part || *open;
        }
    }
    outline
}

/// Closes every open pixel that is connected with the first.
fn flood(open: &mut [bool], window: GridSize) {
    let mut stack = vec![0usize];
    while let Some(seed) = stack.pop() {
        if !open[seed] {
            continue;
        }
        let row = seed / window.cols * window.cols;
        let row_end = row + window.cols;
        let start = (row..seed).rev().take_while(|i| open[*i]).last().unwrap_or(seed);
        let end = (seed..row_end).find(|i| !open[*i]).unwrap_or(row_end);
        open[start..end].fill(false);
        let mut push_runs = |range: std::ops::Range<usize>| {
            let mut in_run = false;
            for i in range {
                if open[i] && !in_run {
                    stack.push(i);
                }
                in_run = open[i];
            }
        };
        if row > 0 {
            push_runs(start - window.cols..end - window.cols);
        }
        if row_end < window.area() {
            push_runs(start + window.cols..end + window.cols);
        }
    }
}

fn bounding_box(part: &Mask) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let size = part.size();
    let mut rows: Option<std::ops::Range<usize>> = None;
    let (mut left, mut right) = (size.cols, 0);
    for row in 0..size.rows {
        let pixels = part.row(row);
        let Some(first) = pixels.iter().position(|p| *p) else { continue };
        let last = pixels.iter().rposition(|p| *p).unwrap_or(first);
        (left, right) = (left.min(first), right.max(last + 1));
        rows = Some(rows.map_or(row, |r| r.start)..row + 1);
    }
    rows.map(|rows| (rows, left..right))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let size = GridSize::new(rows.len(), rows[0].len());
        Mask::new(size, rows.concat().bytes().map(|b| b == b'#').collect()).unwrap()
    }

    #[test]
    fn enclosed_pixels_belong_to_the_outline_and_bays_do_not() {
        let part = mask(&["........", ".####...", ".#..#.#.", ".#.##.##", ".##.....", "..#####.", "..#...#."]);
        let outline = mask(&["........", ".####...", ".####.#.", ".####.##", ".##.....", "..#####.", "..#...#."]);
        assert_eq!(filled_outline(&part), outline);
    }

    #[test]
    fn a_diagonal_outline_is_closed_and_the_image_border_is_open() {
        let part = mask(&["..#..", ".#.#.", "..#..", ".....", "#####", "#...#"]);
        let outline = mask(&["..#..", ".###.", "..#..", ".....", "#####", "#...#"]);
        assert_eq!(filled_outline(&part), outline);
        assert_eq!(filled_outline(&mask(&["....", "...."])).count(), 0);
        assert_eq!(filled_outline(&mask(&["#"])).count(), 1);
    }
}
