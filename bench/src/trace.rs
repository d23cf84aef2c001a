//! Recorded arrivals of a browser's packets: what decides how they can be batched, without their pictures.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

/// Octets of each payload that are kept: a glance at them tells a keyframe.
pub const GLANCE: usize = 12;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Microseconds since the first packet.
    pub micros: u64,
    /// Number of the receive round in which it was taken from the socket.
    pub round: u32,
    /// Which encoding.
    pub layer: u8,
    /// As on the wire.
    pub sequence: u16,
    /// As on the wire.
    pub timestamp: u32,
    /// End of a picture.
    pub marker: bool,
    /// Octets of payload.
    pub length: u16,
    /// The payload's first octets, zeros behind a shorter one.
    pub glance: [u8; GLANCE],
}

/// The columns, as the first line of a file names them.
pub const COLUMNS: &str = "micros,round,layer,sequence,timestamp,marker,length,glance";

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { micros, round, layer, sequence, timestamp, marker, length, glance } = self;
        write!(f, "{micros},{round},{layer},{sequence},{timestamp},{},{length},", u8::from(*marker))?;
        glance.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl FromStr for Arrival {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        let mut fields = line.split(',');
        let mut next = || fields.next().context("a line with too few columns");
        let mut arrival = Self {
            micros: next()?.parse()?,
            round: next()?.parse()?,
            layer: next()?.parse()?,
            sequence: next()?.parse()?,
            timestamp: next()?.parse()?,
            marker: next()? == "1",
            length: next()?.parse()?,
            glance: [0; GLANCE],
        };
        let glance = next()?;
        for (at, octet) in arrival.glance.iter_mut().enumerate() {
            let digits = glance.get(2 * at..2 * at + 2).context("a glance that is too short")?;
            *octet = u8::from_str_radix(digits, 16)?;
        }
        Ok(arrival)
    }
}

/// Reads a file's arrivals, in their order.
///
/// # Errors
/// What can't be read as [`COLUMNS`] say.
pub fn read(text: &str) -> anyhow::Result<Vec<Arrival>> {
    text.lines().skip(1).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_written_and_read() {
        let arrival = Arrival {
            micros: 1_234_567,
            round: 89,
            layer: 2,
            sequence: 65_535,
            timestamp: u32::MAX,
            marker: true,
            length: 1_180,
            glance: [0x90, 0xe0, 0x80, 1, 2, 3, 4, 5, 6, 7, 8, 255],
        };
        let text = format!("{COLUMNS}\n{arrival}\n");
        assert_eq!(read(&text).expect("well formed"), [arrival]);
        assert!(read("columns\n1,2,3").is_err());
    }
}
