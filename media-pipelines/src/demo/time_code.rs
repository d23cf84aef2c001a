//! The machine-readable time code in pictures and sound, as docs/time-code.md defines it.

use super::picture::{BLACK, Picture, WHITE};
use crate::clock::UnixTime;

/// Cells across a picture's width.
const CELLS: usize = 40;
/// Cells of the slide counter, in the row above the time code.
const COUNTER_CELLS: usize = 16;
/// The cells before and after the time code's content.
const FRAME: (u64, u64) = (0b1010, 0b0101);
/// The same for the slide counter.
const COUNTER_FRAME: (u64, u64) = (0b10, 0b01);
/// Brightness above which a cell is read as 1.
const THRESHOLD: u8 = 128;

/// Samples in the ramps of a tone burst at 48 kHz: 2 ms.
const RAMP: usize = 96;
/// Samples in a tone burst at 48 kHz: 20 ms.
pub const BURST: usize = 960;
/// Sample rate the bursts are made for, in hertz.
pub const SAMPLE_RATE: u32 = 48_000;

/// Unix time in milliseconds modulo 2^28, as a picture can carry it.
#[must_use]
pub const fn carried(time: UnixTime) -> u32 {
    (time.as_millis() % (1 << 28)) as u32
}

/// Write the moment a picture was made along its bottom edge.
pub fn write(picture: &mut Picture, time: UnixTime) {
    let millis = u64::from(carried(time));
    let bits = FRAME.0 << 36 | millis << 8 | checksum(millis) << 4 | FRAME.1;
    write_cells(picture, 0, CELLS, bits);
}

/// Read the moment a picture was made, in milliseconds modulo 2^28; `None` if the strip isn't legible.
#[must_use]
pub fn read(picture: &Picture) -> Option<u32> {
    let bits = read_cells(picture, 0, CELLS);
    let millis = bits >> 8 & 0xfff_ffff;
    let whole = bits >> 36 == FRAME.0 && bits & 0xf == FRAME.1 && bits >> 4 & 0xf == checksum(millis);
    whole.then_some(millis as u32)
}

/// Write how many times the slide has changed, modulo 2^12, in the row above the time code.
pub fn write_slide_counter(picture: &mut Picture, changes: u16) {
    let bits = COUNTER_FRAME.0 << 14 | u64::from(changes & 0xfff) << 2 | COUNTER_FRAME.1;
    write_cells(picture, 1, COUNTER_CELLS, bits);
}

/// Read the slide change counter; `None` if the strip isn't legible.
#[must_use]
pub fn read_slide_counter(picture: &Picture) -> Option<u16> {
    let bits = read_cells(picture, 1, COUNTER_CELLS);
    (bits >> 14 == COUNTER_FRAME.0 && bits & 0b11 == COUNTER_FRAME.1).then_some((bits >> 2 & 0xfff) as u16)
}

/// The tone burst that begins at the whole second `second` of Unix time, with peak amplitude `amplitude`.
#[must_use]
pub fn burst(second: u64, amplitude: f32) -> [f32; BURST] {
    let pitch = burst_pitch(second);
    std::array::from_fn(|index| {
        let edge = index.min(BURST - 1 - index).min(RAMP) as f32 / RAMP as f32;
        let envelope = 0.5 - 0.5 * (std::f32::consts::PI * edge).cos();
        let phase = std::f32::consts::TAU * pitch * index as f32 / SAMPLE_RATE as f32;
        amplitude * envelope * phase.sin()
    })
}

/// The pitch of the burst of a second, in hertz: it says which of eight seconds it is.
#[must_use]
pub fn burst_pitch(second: u64) -> f32 {
    3_000.0 + 250.0 * (second % 8) as f32
}

fn checksum(millis: u64) -> u64 {
    (0..7).fold(0, |sum, group| sum ^ (millis >> (4 * group) & 0xf))
}

/// Cells are square, so a row of them is as high as a cell is wide; row 0 lies on the bottom edge.
fn write_cells(picture: &mut Picture, row: usize, count: usize, bits: u64) {
    let side = picture.width() / CELLS;
    let top = picture.height() - (row + 1) * side;
    for cell in 0..count {
        let one = bits >> (count - 1 - cell) & 1 == 1;
        picture.fill(cell * side, top, side, side, if one { WHITE } else { BLACK });
    }
}

fn read_cells(picture: &Picture, row: usize, count: usize) -> u64 {
    let middle = |cell: usize| (2 * cell + 1) * picture.width() / (2 * CELLS);
    let y = picture.height() - (2 * row + 1) * picture.width() / (2 * CELLS);
    (0..count).fold(0, |bits, cell| bits << 1 | u64::from(picture.luma(middle(cell), y) > THRESHOLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: UnixTime = UnixTime::from_nanos(1_795_512_345_678_000_000);

    fn busy(width: usize, height: usize) -> Picture {
        let mut picture = Picture::black(width, height);
        for (index, luma) in picture.luma_plane_mut().iter_mut().enumerate() {
            *luma = (index * 7 % 220) as u8 + 16;
        }
        picture
    }

    #[test]
    fn what_is_written_is_read_at_every_size_a_layer_has() {
        for (width, height) in [(320, 180), (640, 360), (1280, 720), (1920, 1080)] {
            let mut picture = busy(width, height);
            write(&mut picture, MOMENT);
            write_slide_counter(&mut picture, 2_747);
            assert_eq!(read(&picture), Some((1_795_512_345_678_u64 % (1 << 28)) as u32));
            assert_eq!(read_slide_counter(&picture), Some(2_747));
        }
    }

    #[test]
    fn the_time_code_survives_scaling_down_to_the_lowest_layer() {
        let mut picture = busy(1280, 720);
        write(&mut picture, MOMENT);
        let lowest = picture.halved().halved();
        assert_eq!((lowest.width(), lowest.height()), (320, 180));
        assert_eq!(read(&lowest), Some(carried(MOMENT)));
    }

    #[test]
    fn a_picture_without_a_time_code_or_with_a_damaged_one_is_not_legible() {
        let mut picture = busy(640, 360);
        assert_eq!(read(&picture), None);
        write(&mut picture, MOMENT);
        let side = 16;
        let cell = 17;
        let flipped = if picture.luma(cell * side + 8, 352) > THRESHOLD { BLACK } else { WHITE };
        picture.fill(cell * side, 344, side, side, flipped);
        assert_eq!(read(&picture), None);
    }

    #[test]
    fn a_burst_starts_and_ends_in_silence_and_has_its_second_s_pitch() {
        let samples = burst(1_795_512_347, 0.5);
        assert!(samples[0].abs() < 1e-6 && samples[BURST - 1].abs() < 1e-3);
        assert!(samples.iter().any(|sample| *sample > 0.49));
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        let expected = (burst_pitch(1_795_512_347) * 0.020) as usize;
        assert!(crossings.abs_diff(expected) <= 1, "{crossings} periods, expected {expected}");
    }
}
