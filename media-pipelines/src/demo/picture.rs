//! Raw pictures in planar YUV 4:2:0 (I420), and the few things the demonstration does with them.
//!
//! Encoders want I420, so everything is drawn in it once instead of being converted for every frame.

use super::svg::Drawing;

/// Black in limited-range video.
pub const BLACK: u8 = 16;
/// White in limited-range video.
pub const WHITE: u8 = 235;
/// No colour.
const NEUTRAL: u8 = 128;

/// An I420 picture with rows packed tightly; both sides are even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Picture {
    /// A black picture.
    ///
    /// # Panics
    /// If a side is odd.
    #[must_use]
    pub fn black(width: usize, height: usize) -> Self {
        assert!(width.is_multiple_of(2) && height.is_multiple_of(2), "4:2:0 pictures have even sides");
        let mut data = vec![NEUTRAL; width * height * 3 / 2];
        data[..width * height].fill(BLACK);
        Self { width, height, data }
    }

    /// A picture from the bytes of its three planes, `None` if there are not as many as its size takes.
    #[must_use]
    pub fn from_planes(width: usize, height: usize, data: Vec<u8>) -> Option<Self> {
        (data.len() == width * height * 3 / 2).then_some(Self { width, height, data })
    }

    /// A drawing that covers the whole picture.
    #[must_use]
    pub fn from_drawing(drawing: &Drawing) -> Self {
        let mut picture = Self::black(drawing.width, drawing.height);
        Sprite::new(drawing).draw(&mut picture, 0, 0);
        picture
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The planes Y, U and V, one after the other.
    #[must_use]
    pub fn into_planes(self) -> Vec<u8> {
        self.data
    }

    /// The brightness at a pixel.
    #[must_use]
    pub fn luma(&self, x: usize, y: usize) -> u8 {
        self.data[y * self.width + x]
    }

    /// Fill a rectangle with a shade of grey.
    pub fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, luma: u8) {
        for row in y..y + height {
            let start = row * self.width + x;
            self.data[start..start + width].fill(luma);
        }
        let (half, quarter) = (self.width / 2, self.width * self.height / 4);
        for plane in 0..2 {
            let origin = self.width * self.height + plane * quarter;
            for row in y / 2..(y + height) / 2 {
                let start = origin + row * half + x / 2;
                self.data[start..start + width / 2].fill(NEUTRAL);
            }
        }
    }

    /// The luma plane.
    pub fn luma_plane_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.width * self.height]
    }

    /// The picture at half its width and height, every pixel the mean of four.
    #[must_use]
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut data = Vec::with_capacity(width * height * 3 / 2);
        let (luma, chroma) = self.data.split_at(self.width * self.height);
        halve_plane(luma, self.width, &mut data);
        let quarter = chroma.len() / 2;
        halve_plane(&chroma[..quarter], self.width / 2, &mut data);
        halve_plane(&chroma[quarter..], self.width / 2, &mut data);
        Self { width, height, data }
    }
}

fn halve_plane(plane: &[u8], width: usize, out: &mut Vec<u8>) {
    for rows in plane.chunks_exact(2 * width) {
        let (upper, lower) = rows.split_at(width);
        out.extend(
            upper
                .chunks_exact(2)
                .zip(lower.chunks_exact(2))
                .map(|(a, b)| ((u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]) + 2) / 4) as u8),
        );
    }
}

/// A drawing with transparency, converted once so that laying it over a picture costs little.
#[derive(Debug, Clone)]
pub struct Sprite {
    width: usize,
    height: usize,
    /// Per plane: the values, already multiplied by their opacity, and how much of what lies below shows through.
    planes: [(Vec<u8>, Vec<u8>); 3],
}

impl Sprite {
    /// Convert a drawing (BT.709 matrix, limited range).
    #[must_use]
    pub fn new(drawing: &Drawing) -> Self {
        let (width, height) = (drawing.width, drawing.height);
        let mut luma = (Vec::with_capacity(width * height), Vec::with_capacity(width * height));
        for pixel in drawing.bgra.chunks_exact(4) {
            let [b, g, r, a] = opaque_share(pixel);
            luma.0.push((0.0627 * a + 0.1826 * r + 0.6142 * g + 0.0620 * b).round() as u8);
            luma.1.push(255 - pixel[3]);
        }
        let mut blue = (Vec::new(), Vec::new());
        let mut red = (Vec::new(), Vec::new());
        for (row, column) in (0..height / 2).flat_map(|row| (0..width / 2).map(move |column| (row, column))) {
            let [b, g, r, a] = mean_of_four(drawing, 2 * column, 2 * row);
            blue.0.push((0.502 * a - 0.1006 * r - 0.3386 * g + 0.4392 * b).round() as u8);
            red.0.push((0.502 * a + 0.4392 * r - 0.3989 * g - 0.0403 * b).round() as u8);
            blue.1.push((255.0 - a).round() as u8);
            red.1.push((255.0 - a).round() as u8);
        }
        Self { width, height, planes: [luma, blue, red] }
    }

    /// Lay it over `picture` with its upper left corner at (`x`, `y`), both even; what sticks out is cut off.
    pub fn draw(&self, picture: &mut Picture, x: usize, y: usize) {
        let whole = picture.width * picture.height;
        let origins = [(0, 1), (whole, 2), (whole + whole / 4, 2)];
        for ((values, below), (origin, scale)) in self.planes.iter().zip(origins) {
            let (own, stride) = (self.width / scale, picture.width / scale);
            let width = own.min(stride.saturating_sub(x / scale));
            let rows = (self.height / scale).min((picture.height / scale).saturating_sub(y / scale));
            for row in 0..rows {
                let from = row * own;
                let to = origin + (y / scale + row) * stride + x / scale;
                let target = &mut picture.data[to..to + width];
                for ((pixel, value), through) in target.iter_mut().zip(&values[from..]).zip(&below[from..]) {
                    *pixel = value.saturating_add((u16::from(*pixel) * u16::from(*through) / 255) as u8);
                }
            }
        }
    }
}

/// A pixel's colours multiplied by its alpha, and its alpha, all from 0 to 255.
fn opaque_share(bgra: &[u8]) -> [f32; 4] {
    let alpha = f32::from(bgra[3]);
    let share = |value: u8| f32::from(value) * alpha / 255.0;
    [share(bgra[0]), share(bgra[1]), share(bgra[2]), alpha]
}

fn mean_of_four(drawing: &Drawing, x: usize, y: usize) -> [f32; 4] {
    let mut sum = [0.0; 4];
    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        let at = 4 * ((y + dy) * drawing.width + x + dx);
        for (total, value) in sum.iter_mut().zip(opaque_share(&drawing.bgra[at..at + 4])) {
            *total += value / 4.0;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: usize, height: usize, pixel: [u8; 4]) -> Drawing {
        Drawing { width, height, bgra: pixel.repeat(width * height) }
    }

    #[test]
    fn white_and_black_drawings_become_the_limits_of_video_range() {
        assert_eq!(Picture::from_drawing(&plain(8, 4, [255; 4])).luma(3, 3), WHITE);
        assert_eq!(Picture::from_drawing(&plain(8, 4, [0, 0, 0, 255])), Picture::black(8, 4));
    }

    #[test]
    fn a_transparent_sprite_changes_nothing_and_one_over_the_edge_is_cut() {
        let mut picture = Picture::black(16, 8);
        Sprite::new(&plain(8, 8, [0; 4])).draw(&mut picture, 4, 0);
        assert_eq!(picture, Picture::black(16, 8));
        Sprite::new(&plain(8, 8, [255; 4])).draw(&mut picture, 12, 4);
        assert_eq!((picture.luma(15, 7), picture.luma(11, 7)), (WHITE, BLACK));
    }

    #[test]
    fn halving_keeps_what_is_aligned_to_two_pixels() {
        let mut picture = Picture::black(32, 16);
        picture.fill(8, 8, 4, 4, WHITE);
        let half = picture.halved();
        assert_eq!((half.width(), half.height()), (16, 8));
        assert_eq!([half.luma(3, 4), half.luma(4, 4), half.luma(5, 5), half.luma(6, 5)], [BLACK, WHITE, WHITE, BLACK]);
    }
}
