//! What the teacher's camera sees: a teacher who explains in front of a blackboard.
//!
//! The classroom and the teacher's postures are drawn once; a frame is a copy of the classroom with one posture, the
//! hands of the clock and the noise of a camera sensor laid over it. The noise makes the encoders spend what they would
//! spend on a real camera.

use super::picture::{Picture, Sprite};
use super::svg::{DrawError, Rasteriser};
use super::time_code;
use crate::clock::UnixTime;

const WIDTH: usize = 1280;
const HEIGHT: usize = 720;
const TEACHER: (usize, usize) = (580, 620);
/// Postures of the arm, from hanging to pointing at the board.
const ARM_POSTURES: usize = 12;
/// Openings of the mouth.
const MOUTHS: usize = 3;
/// Centre and radius of the wall clock.
const CLOCK: (f32, f32, f32) = (1176.0, 118.0, 52.0);
/// The clock shows the time in China.
const BEIJING_OFFSET: u64 = 8 * 3600;
/// Length of the noise pattern; it isn't a multiple of the picture's width, so that it never lines up.
const NOISE: usize = 65_521;

/// The scene, drawn before the lesson starts.
#[derive(Debug)]
pub struct Scene {
    classroom: Picture,
    /// One sprite for every posture of the arm and opening of the mouth.
    teacher: Vec<Sprite>,
    noise: Vec<i8>,
}

impl Scene {
    /// Draw the classroom and all postures.
    ///
    /// # Errors
    /// [`DrawError`] if the SVG decoder fails.
    pub fn draw(rasteriser: &Rasteriser) -> Result<Self, DrawError> {
        let classroom = Picture::from_drawing(&rasteriser.draw(WIDTH, HEIGHT, &classroom())?);
        let postures = (0..ARM_POSTURES).flat_map(|arm| (0..MOUTHS).map(move |mouth| (arm, mouth)));
        let teacher = postures.map(|(arm, mouth)| {
            let raised = arm as f32 / (ARM_POSTURES - 1) as f32;
            let drawing = rasteriser.draw(TEACHER.0, TEACHER.1, &teacher(raised, mouth as f32))?;
            Ok(Sprite::new(&drawing))
        });
        Ok(Self { classroom, teacher: teacher.collect::<Result<_, _>>()?, noise: noise() })
    }

    /// The camera's picture at `time`, with its time code.
    #[must_use]
    pub fn at(&self, time: UnixTime) -> Picture {
        let mut picture = self.classroom.clone();
        draw_clock_hands(&mut picture, time);
        let seconds = (time.as_millis() % 3_600_000) as f32 / 1000.0;
        // Walking, pointing and speaking have periods without a common multiple, so that no two moments look alike.
        let x = 520.0 + 110.0 * (seconds / 7.3).sin();
        let raised = (0.5 + 0.6 * (seconds / 1.9).sin()).clamp(0.0, 1.0);
        let speaking = (0.5 + 0.5 * (seconds * 13.0).sin() * (seconds * 4.1).cos()).clamp(0.0, 1.0);
        let arm = (raised * (ARM_POSTURES - 1) as f32).round() as usize;
        let mouth = (speaking * (MOUTHS - 1) as f32).round() as usize;
        let left = (x / 2.0) as usize * 2;
        self.teacher[arm * MOUTHS + mouth].draw(&mut picture, left, HEIGHT - TEACHER.1);
        self.add_noise(&mut picture, time);
        time_code::write(&mut picture, time);
        picture
    }

    fn add_noise(&self, picture: &mut Picture, time: UnixTime) {
        let start = (time.as_millis().wrapping_mul(7_919) % NOISE as u64) as usize;
        let luma = picture.luma_plane_mut();
        let (first, rest) = luma.split_at_mut(NOISE - start);
        for (pixel, noise) in first.iter_mut().zip(&self.noise[start..]) {
            *pixel = pixel.saturating_add_signed(*noise);
        }
        for stretch in rest.chunks_mut(NOISE) {
            for (pixel, noise) in stretch.iter_mut().zip(&self.noise) {
                *pixel = pixel.saturating_add_signed(*noise);
            }
        }
    }
}

/// A fixed pattern of small values around zero, from a linear congruential generator.
fn noise() -> Vec<i8> {
    let mut state = 0x2545_f491_u32;
    let mut sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i32
    };
    (0..NOISE).map(|_| ((sample() + sample() + sample() - 382) / 110) as i8).collect()
}

fn draw_clock_hands(picture: &mut Picture, time: UnixTime) {
    let of_day = (time.as_secs() + BEIJING_OFFSET) % 86_400;
    let hands =
        [(of_day as f32 / 43_200.0, 0.5, 5.0), (of_day as f32 / 3_600.0, 0.74, 3.5), (of_day as f32 / 60.0, 0.8, 1.6)];
    for (turns, length, width) in hands {
        let angle = std::f32::consts::TAU * turns.fract();
        let tip = (CLOCK.0 + CLOCK.2 * length * angle.sin(), CLOCK.1 - CLOCK.2 * length * angle.cos());
        draw_line(picture, (CLOCK.0, CLOCK.1), tip, width);
    }
}

/// A dark line with soft edges; both ends lie inside the picture.
fn draw_line(picture: &mut Picture, from: (f32, f32), to: (f32, f32), width: f32) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let square = (dx * dx + dy * dy).max(f32::EPSILON);
    let range = |a: f32, b: f32| (a.min(b) - width) as usize..=(a.max(b) + width) as usize;
    let stride = picture.width();
    for y in range(from.1, to.1) {
        for x in range(from.0, to.0) {
            let (px, py) = (x as f32 - from.0, y as f32 - from.1);
            let along = ((px * dx + py * dy) / square).clamp(0.0, 1.0);
            let distance = ((px - along * dx).powi(2) + (py - along * dy).powi(2)).sqrt();
            let cover = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
            let pixel = &mut picture.luma_plane_mut()[y * stride + x];
            *pixel = (f32::from(*pixel) * (1.0 - cover) + 40.0 * cover) as u8;
        }
    }
}

fn classroom() -> String {
    let (x, y, radius) = CLOCK;
    let hours: String = (0..12)
        .map(|hour| format!(r##"<rect x="-1.5" y="-46" width="3" height="8" fill="#3a444f" transform="translate({x} {y}) rotate({})"/>"##, hour * 30))
        .collect();
    format!(
        r##"<defs>
        <linearGradient id="wall" x2="0" y2="1"><stop stop-color="#efe9dc"/><stop offset="1" stop-color="#d9cfbb"/></linearGradient>
        <linearGradient id="board" x2="1" y2="1"><stop stop-color="#2d5a4a"/><stop offset="1" stop-color="#1f4438"/></linearGradient>
        <linearGradient id="light" x2="1" y2="0"><stop stop-color="#fffbe8" stop-opacity=".75"/><stop offset="1" stop-color="#fffbe8" stop-opacity="0"/></linearGradient>
        <linearGradient id="desk" x2="0" y2="1"><stop stop-color="#b98a58"/><stop offset="1" stop-color="#94693d"/></linearGradient></defs>
        <rect width="1280" height="720" fill="url(#wall)"/>
        <rect y="600" width="1280" height="120" fill="#a9957a"/>
        <rect x="92" y="84" width="956" height="452" rx="6" fill="#8a6642"/><rect x="106" y="98" width="928" height="424" fill="url(#board)"/>
        <rect x="106" y="524" width="928" height="12" fill="#a67c52"/>
        <g font-family="Noto Sans CJK SC" fill="#f2f4ee">
        <text x="146" y="188" font-size="58" font-weight="700">What would you like?</text>
        <text x="148" y="262" font-size="44" opacity=".92">你想吃点什么？</text>
        <text x="148" y="344" font-size="40" opacity=".88">I'd like a sandwich.</text>
        <text x="148" y="412" font-size="40" opacity=".88">I'd like some tea.</text></g>
        <path d="M146 204 q220 14 500 -4" stroke="#f5d76e" stroke-width="5" fill="none" opacity=".9"/>
        <circle cx="{x}" cy="{y}" r="{radius}" fill="#fdfcf8" stroke="#5b6570" stroke-width="7"/>{hours}
        <rect x="1096" y="220" width="152" height="250" rx="4" fill="#bfe0f2" stroke="#f7f5ef" stroke-width="12"/>
        <path d="M1102 400 q40 -50 76 -12 q34 -44 64 -6 v82 h-140z" fill="#7fb58a"/><path d="M1172 222 v246 M1098 345 h148" stroke="#f7f5ef" stroke-width="8"/>
        <rect width="420" height="720" fill="url(#light)"/>
        <rect x="60" y="560" width="250" height="160" rx="8" fill="url(#desk)"/><rect x="48" y="546" width="274" height="26" rx="8" fill="#c79a68"/>
        <rect x="96" y="520" width="92" height="26" rx="3" fill="#3f6fb0"/><rect x="104" y="500" width="92" height="20" rx="3" fill="#d9694f"/>
        <path d="M256 546 l-10 -40 h44 l-10 40z" fill="#c96f4a"/><path d="M268 508 q-34 -40 -26 -78 q28 26 26 78 q4 -60 36 -80 q6 46 -36 80" fill="#4f9a5f"/>"##
    )
}

/// The teacher with one arm raised from hanging (0) to pointing (1), the mouth shut (0) to wide open (2).
fn teacher(raised: f32, mouth: f32) -> String {
    let shoulder = 80.0 + 130.0 * raised;
    let elbow = 10.0 + 15.0 * raised;
    format!(
        r##"<defs><linearGradient id="coat" x2="1" y2="0"><stop stop-color="#27496d"/><stop offset=".5" stop-color="#35628f"/><stop offset="1" stop-color="#24425f"/></linearGradient>
        <radialGradient id="skin"><stop stop-color="#f6d2b3"/><stop offset="1" stop-color="#e3b391"/></radialGradient></defs>
        <g transform="translate(140 0)"><ellipse cx="230" cy="612" rx="140" ry="14" fill="#000" opacity=".18"/>
        <path d="M128 620 q-14 -210 10 -300 q22 -54 92 -58 q70 4 92 58 q24 90 10 300z" fill="url(#coat)"/>
        <path d="M196 266 l34 70 l34 -70z" fill="#fbfbf8"/><path d="M224 300 l6 -8 l6 8 l8 86 l-14 20 l-14 -20z" fill="#b8423a"/>
        <g transform="translate(316 330)"><path d="M-22 -26 q52 6 46 60 l-12 190 h-36z" fill="url(#coat)"/><circle cx="-6" cy="232" r="22" fill="url(#skin)"/></g>
        <g transform="translate(146 324) rotate({shoulder:.1})"><rect x="-12" y="-26" width="132" height="50" rx="24" fill="url(#coat)"/>
        <g transform="translate(108 0) rotate({elbow:.1})"><rect x="-20" y="-21" width="120" height="42" rx="20" fill="#2f5a85"/><circle cx="112" cy="0" r="20" fill="url(#skin)"/>
        <rect x="118" y="-4" width="96" height="6" rx="3" fill="#7a4f2b"/></g></g>
        <rect x="206" y="222" width="48" height="56" rx="18" fill="#e3b391"/>
        <ellipse cx="230" cy="164" rx="72" ry="86" fill="url(#skin)"/>
        <path d="M152 160 q-8 -104 78 -104 q88 0 78 104 q-14 -52 -36 -62 q-56 22 -104 0 q-12 22 -16 62z" fill="#2b2320"/>
        <g fill="none" stroke="#3b3430" stroke-width="5"><circle cx="202" cy="168" r="20"/><circle cx="258" cy="168" r="20"/><path d="M222 168 h16"/></g>
        <circle cx="203" cy="169" r="6" fill="#241d1a"/><circle cx="257" cy="169" r="6" fill="#241d1a"/>
        <path d="M228 178 q-8 20 4 22" stroke="#c08f6d" stroke-width="4" fill="none"/>
        <ellipse cx="230" cy="218" rx="{:.1}" ry="{:.1}" fill="#8c3b36"/></g>"##,
        20.0 - 3.0 * mouth,
        3.0 + 5.0 * mouth,
    )
}
