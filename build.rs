//! The web client is built into the binary: when its files change, so does the binary.

fn main() {
    // A missing folder would count as changed at every build.
    let _ = std::fs::create_dir_all("web-client/dist");
    println!("cargo::rerun-if-changed=web-client/dist");
    println!("cargo::rerun-if-changed=migrations");
}
