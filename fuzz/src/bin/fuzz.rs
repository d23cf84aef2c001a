//! Feeds one target with libFuzzer: the environment variable `FUZZ_TARGET` names it. Built without the feature
//! `libfuzzer`, this names the targets.

#![cfg_attr(feature = "libfuzzer", no_main)]

#[cfg(feature = "libfuzzer")]
mod engine {
    #![allow(unsafe_code, reason = "libFuzzer looks for a function by its name")]

    use std::sync::OnceLock;

    use mingshi_fuzz::Target;

    libfuzzer_sys::fuzz_target!(|data: &[u8]| {
        static TARGET: OnceLock<&'static Target> = OnceLock::new();
        let named = || Target::named(&std::env::var("FUZZ_TARGET").unwrap_or_default());
        (TARGET.get_or_init(|| named().expect("FUZZ_TARGET names a target")).run)(data);
    });
}

#[cfg(not(feature = "libfuzzer"))]
#[expect(clippy::print_stdout, reason = "the names are what was asked for")]
fn main() {
    for target in mingshi_fuzz::TARGETS {
        println!("{}", target.name);
    }
}
