//! Which options there are: what is not one of them is refused with the one that was meant, and
//! environment variables are named after them.

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::file::File;
use super::{Error, value};

const PREFIX: &str = "MINGSHI_";

/// Below this likeness (Jaro–Winkler) two words have nothing to do with each other.
const LIKENESS: f64 = 0.75;

fn known() -> Table {
    Table::try_from(File::default()).expect("the file is made of texts, numbers and lists, which TOML has")
}

/// Every section and key of a file has to be known.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let known = known();
    let all: Vec<String> = options(&known).map(|(section, key, _)| format!("{section}.{key}")).collect();
    let written = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    for (section, content) in written.get_ref() {
        let name = section.get_ref().as_ref();
        let line = line_of(text, section.span().start);
        let Some(Value::Table(keys)) = known.get(name) else {
            let nearest = nearest(name, known.keys().cloned().chain(all.iter().cloned()));
            return Err(Error::UnknownKey { line, key: name.into(), nearest });
        };
        let DeValue::Table(content) = content.get_ref() else {
            return Err(Error::Syntax { line, said: format!("{name} is a section: [{name}]") });
        };
        let is_secret = |key: &str| (name, key) == ("turn", "secret");
        if let Some((key, _)) = content
            .iter()
            .find(|(key, value)| is_secret(key.get_ref()) && !matches!(value.get_ref(), DeValue::String(_)))
        {
            // Said here, since the parser of the whole file would say the value too.
            let line = line_of(text, key.span().start);
            return Err(Error::Syntax { line, said: "turn.secret is a text, in quotes".into() });
        }
        if let Some(key) = content.keys().find(|key| !keys.contains_key(key.get_ref().as_ref())) {
            let name = format!("{name}.{}", key.get_ref());
            let line = line_of(text, key.span().start);
            let elsewhere =
                all.iter().find(|option| option.split_once('.').map(|(_, key)| key) == Some(key.get_ref())).cloned();
            let nearest = elsewhere.or_else(|| nearest(&name, all.iter().cloned()));
            return Err(Error::UnknownKey { line, key: name, nearest });
        }
    }
    Ok(())
}

/// What the parser said, with its line.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    Error::Syntax { line, said: error.message().trim().replace('\n', ", ") }
}

/// The file with what the environment says instead.
pub(super) fn overridden(file: File, environment: impl IntoIterator<Item = (String, String)>) -> Result<File, Error> {
    let mut table = Table::try_from(file).expect("the file is made of texts, numbers and lists, which TOML has");
    let variables: Vec<(String, String, String)> =
        options(&table).map(|(section, key, _)| (variable(section, key), section.to_owned(), key.to_owned())).collect();
    for (name, given) in environment {
        let Some((_, section, key)) = variables.iter().find(|(variable, ..)| *variable == name) else {
            if variables.iter().any(|(_, section, _)| name.starts_with(&variable(section, ""))) {
                let nearest = nearest(&name, variables.into_iter().map(|(variable, ..)| variable));
                return Err(Error::UnknownVariable { variable: name, nearest });
            }
            continue;
        };
        if let Some(slot) = table.get_mut(section).and_then(|section| section.get_mut(key)) {
            *slot = parsed(slot, &given).map_err(|fact| value(&name, fact))?;
        }
    }
    table.try_into().map_err(|error: toml::de::Error| value("environment", error.message()))
}

fn options(table: &Table) -> impl Iterator<Item = (&str, &str, &Value)> {
    let sections = table.iter().filter_map(|(section, keys)| keys.as_table().map(|keys| (section.as_str(), keys)));
    sections.flat_map(|(section, keys)| keys.iter().map(move |(key, value)| (section, key.as_str(), value)))
}

fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{}_{}", section.to_uppercase(), key.to_uppercase())
}

/// A text as the type that the option has.
fn parsed(option: &Value, text: &str) -> Result<Value, String> {
    let text = text.trim();
    match option {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number")),
        Value::Boolean(_) => {
            text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is neither true nor false"))
        }
        Value::Float(_) => text.parse().map(Value::Float).map_err(|_| format!("{text:?} is not a number")),
        Value::Array(_) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(Value::Array(words.map(|word| Value::String(word.into())).collect()))
        }
        _ => Ok(Value::String(text.into())),
    }
}

fn nearest(word: &str, words: impl Iterator<Item = String>) -> Option<String> {
    let likeness = |candidate: &String| strsim::jaro_winkler(word, candidate);
    words.filter(|candidate| likeness(candidate) >= LIKENESS).max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
