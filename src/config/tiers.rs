//! Kinds of lines: config/tiers.toml, or the operator's own file in its place.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{Error, keys, value};
use crate::adapt::{LineTier, Tier, Tiers};
use crate::units::Bitrate;

const BUILT_IN: &str = include_str!("../../config/tiers.toml");
/// Which option names the file.
const OPTION: &str = "media.tiers";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tier: Vec<Known>,
    unknown: Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    nominal_kbps: u32,
    share: f32,
    start_kbps: u32,
    floor_kbps: u32,
    redundancy: u8,
    playout_ms: [u32; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unknown {
    start_kbps: u32,
    floor_kbps: u32,
    redundancy: u8,
    playout_ms: [u32; 2],
}

/// From the file that the option names, or what is built in.
pub(super) fn load(path: &str) -> Result<Tiers, Error> {
    if path.is_empty() {
        return parse(BUILT_IN).map_err(|fact| value(OPTION, fact));
    }
    let text = std::fs::read_to_string(Path::new(path)).map_err(|source| Error::Read { path: path.into(), source })?;
    parse(&text).map_err(|fact| value(OPTION, format!("{path}: {fact}")))
}

fn parse(text: &str) -> Result<Tiers, String> {
    let file: File = toml::from_str(text).map_err(|error| keys::syntax(text, &error).to_string())?;
    if file.tier.is_empty() {
        return Err("no [[tier]] is described".into());
    }
    let known: Vec<Tier> = file.tier.into_iter().map(known).collect::<Result<_, _>>()?;
    for (at, tier) in known.iter().enumerate() {
        if let Some(same) = known[..at].iter().find(|other| other.line.nominal == tier.line.nominal) {
            return Err(format!("tiers {:?} and {:?} have the same nominal_kbps", same.name, tier.name));
        }
    }
    Ok(Tiers::new(known, unknown(&file.unknown)?))
}

fn known(written: Known) -> Result<Tier, String> {
    let Known { name, nominal_kbps, share, start_kbps, floor_kbps, redundancy, playout_ms } = written;
    let rest = Unknown { start_kbps, floor_kbps, redundancy, playout_ms };
    let mut tier = checked(format!("tier {name:?}"), name, &rest)?;
    let told = |fact: String| format!("tier {:?}: {fact}", tier.name);
    if !(100..=10_000_000).contains(&nominal_kbps) {
        return Err(told(format!("nominal_kbps: {nominal_kbps} is not between 100 and 10000000")));
    }
    if !(0.1..=1.0).contains(&share) {
        return Err(told(format!("share: {share} is not between 0.1 and 1")));
    }
    if start_kbps > nominal_kbps {
        return Err(told(format!("start_kbps: {start_kbps} is more than the line's nominal_kbps, {nominal_kbps}")));
    }
    (tier.line.nominal, tier.line.share) = (Some(rate(nominal_kbps)), share);
    Ok(tier)
}

fn unknown(written: &Unknown) -> Result<Tier, String> {
    checked("unknown".into(), "unknown".into(), written)
}

fn checked(place: String, name: String, written: &Unknown) -> Result<Tier, String> {
    let range = |key: &str, given: u32, least: u32, most: u32| {
        if (least..=most).contains(&given) {
            return Ok(given);
        }
        Err(format!("{place}: {key}: {given} is not between {least} and {most}"))
    };
    let [least, most] = written.playout_ms;
    range("playout_ms", most, 0, 10_000)?;
    if least > most {
        return Err(format!("{place}: playout_ms: {least} is more than {most}; the smaller comes first"));
    }
    Ok(Tier {
        name,
        line: LineTier {
            nominal: None,
            start: rate(range("start_kbps", written.start_kbps, 100, 10_000_000)?),
            floor: rate(range("floor_kbps", written.floor_kbps, 50, 10_000_000)?),
            ..LineTier::default()
        },
        redundancy: range("redundancy", written.redundancy.into(), 0, 2)? as u8,
        playout: (Duration::from_millis(least.into()), Duration::from_millis(most.into())),
    })
}

fn rate(kbps: u32) -> Bitrate {
    Bitrate::from_bps(u64::from(kbps) * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "[[tier]]\nname = \"4M\"\nnominal_kbps = 4000\nshare = 0.70\nstart_kbps = 2400\n\
        floor_kbps = 400\nredundancy = 1\nplayout_ms = [80, 400]\n\
        [[tier]]\nname = \"10M\"\nnominal_kbps = 10000\nshare = 0.8\nstart_kbps = 5000\n\
        floor_kbps = 400\nredundancy = 1\nplayout_ms = [60, 400]\n\
        [unknown]\nstart_kbps = 1200\nfloor_kbps = 380\nredundancy = 1\nplayout_ms = [60, 400]\n";

    #[test]
    fn the_file_that_is_shipped_describes_the_lines_that_are_sold() {
        let tiers = parse(BUILT_IN).expect("it is shipped");
        let names: Vec<&str> = tiers.known().iter().map(|tier| tier.name.as_str()).collect();
        assert_eq!(names, ["4M", "10M", "30M", "50M", "100M"]);
        assert_eq!(tiers.of(None).line.nominal, None);
        let most = tiers.of(Some(rate(4_000))).line.most().map_or(0, Bitrate::bps);
        assert!((2_879_000..=2_880_000).contains(&most), "{most}");
    }

    #[test]
    fn what_does_not_fit_is_told_in_words() {
        for (from, to, said) in [
            ("share = 0.70", "share = 7.0", "tier \"4M\": share: 7 is not between 0.1 and 1"),
            ("nominal_kbps = 4000", "nominal_kbps = 10000", "tiers \"4M\" and \"10M\" have the same nominal_kbps"),
            ("nominal_kbps = 4000", "nominal_kbps = 4", "nominal_kbps: 4 is not between 100 and 10000000"),
            ("start_kbps = 2400", "start_kbps = 5000", "start_kbps: 5000 is more than the line's nominal_kbps, 4000"),
            ("playout_ms = [80, 400]", "playout_ms = [400, 80]", "playout_ms: 400 is more than 80"),
            ("redundancy = 1", "redundancy = 3", "redundancy: 3 is not between 0 and 2"),
            ("redundancy = 1", "redundnacy = 1", "unknown field `redundnacy`"),
            ("[unknown]", "[unkown]", "unkown"),
        ] {
            let told = parse(&WRITTEN.replacen(from, to, 1)).expect_err(to);
            assert!(told.contains(said), "{to} gave {told:?}");
        }
    }

    #[test]
    fn a_file_of_the_operators_is_read_in_its_place_or_named() {
        let told = load("no/such/tiers.toml").expect_err("there is none").to_string();
        assert!(told.starts_with("no/such/tiers.toml can't be read"), "{told}");
    }
}
