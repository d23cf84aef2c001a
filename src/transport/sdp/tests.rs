use super::*;

const CHROMIUM_PUBLISHER: &str = include_str!("../../../tests/data/offers/chromium-publisher.sdp");

#[test]
fn smoke() {
    let offer = Offer::parse(CHROMIUM_PUBLISHER).expect("reads");
    let candidates = ["192.0.2.1:9000".parse().expect("address"), "[2001:db8::1]:9000".parse().expect("address")];
    let local = Local { ufrag: "abcd", password: "0123456789012345678901", fingerprint: "AA", cname: "c", candidates: &candidates };
    let agreed = negotiate(&offer, Role::Publisher, &local, |_, _| None).expect("agrees");
    eprintln!("{}\n{:#?}", agreed.answer, agreed.media);
}
