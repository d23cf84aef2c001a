//! Every input that was kept, real or once a finding, goes through its target.

use mingshi_fuzz::TARGETS;

#[test]
fn every_target_takes_its_corpus() {
    for target in TARGETS {
        let corpus = target.corpus().unwrap_or_else(|error| panic!("{}: {error}", target.name));
        assert!(!corpus.is_empty(), "{} has no inputs", target.name);
        for (path, bytes) in corpus {
            let outcome = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(outcome.is_ok(), "{} fails on {}", target.name, path.display());
        }
    }
}

#[test]
fn every_target_takes_its_corpus_cut_short_and_altered() {
    for target in TARGETS {
        for (path, bytes) in target.corpus().unwrap_or_else(|error| panic!("{}: {error}", target.name)) {
            let step = (bytes.len() / 24).max(1);
            for at in (0..bytes.len()).step_by(step) {
                let mut altered = bytes.clone();
                altered[at] ^= 0x5a;
                let inputs = [&bytes[..at], &altered[..]];
                let outcome = std::panic::catch_unwind(|| inputs.map(target.run));
                assert!(outcome.is_ok(), "{} fails on {} at {at}", target.name, path.display());
            }
        }
    }
}
