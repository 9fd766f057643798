//! Makes a new migration recompile the crate that embeds them.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
