//! Layers as builders write them, one over the other, and ones that nobody should have written.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::found::PACKAGES_MAX;
use crate::golang::tests::program;

pub(crate) type Tar = tar::Builder<Vec<u8>>;

fn header(kind: EntryType, size: usize, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(u64::try_from(size).unwrap());
    header.set_mode(mode);
    header
}

fn file(tar: &mut Tar, path: &str, content: &[u8], mode: u32) {
    tar.append_data(&mut header(EntryType::Regular, content.len(), mode), path, content).unwrap();
}

pub(crate) fn files(all: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Tar::new(Vec::new());
    for (path, content) in all {
        file(&mut tar, path, content.as_bytes(), 0o644);
    }
    tar.into_inner().unwrap()
}

pub(crate) fn layered(layers: &[Vec<u8>]) -> Found {
    layers.iter().fold(Found::default(), |found, layer| apply(found, layer.as_slice()).unwrap())
}

fn names(found: &Found) -> Vec<String> {
    let packages = found.files().flat_map(|(_, content)| &content.packages);
    packages.map(|it| format!("{} {}", it.name, it.version.as_deref().unwrap_or("-"))).collect()
}

fn npm(name: &str) -> String {
    format!(r#"{{"name": "{name}", "version": "1.0.0"}}"#)
}

fn module(folder: &str, name: &str) -> (String, String) {
    (format!("{folder}/node_modules/{name}/package.json"), npm(name))
}

fn modules(all: &[(&str, &str)]) -> Vec<u8> {
    let all: Vec<_> = all.iter().map(|(folder, name)| module(folder, name)).collect();
    files(&all.iter().map(|(path, json)| (path.as_str(), json.as_str())).collect::<Vec<_>>())
}

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nVersion: 1\n\nPackage: curl\nStatus: install ok installed\nVersion: 2\n";

#[test]
fn a_database_written_anew_is_the_one_that_counts() {
    let without_curl = STATUS.replace(
        "Package: curl\nStatus: install ok installed",
        "Package: curl\nStatus: deinstall ok config-files",
    );
    let base = files(&[("./var/lib/dpkg/status", STATUS), ("lib/apk/db/installed", "P:musl\nV:1\n")]);
    assert_eq!(names(&layered(std::slice::from_ref(&base))), ["musl 1", "libc6 1", "curl 2"]);
    let removed = files(&[("var/lib/dpkg/status", &without_curl)]);
    assert_eq!(names(&layered(&[base, removed])), ["musl 1", "libc6 1"]);
}

#[test]
fn whiteouts_take_away_what_lies_below_and_nothing_of_their_own_layer() {
    let base = modules(&[("a", "x"), ("a", "y"), ("a", "@s/z"), ("ab", "x"), ("b", "x")]);
    let one = files(&[("a/node_modules/.wh.x", "")]);
    assert_eq!(names(&layered(&[base.clone(), one])), ["@s/z 1.0.0", "y 1.0.0", "x 1.0.0", "x 1.0.0"]);
    let folder = files(&[(".wh.a", "")]);
    assert_eq!(names(&layered(&[base.clone(), folder])), ["x 1.0.0", "x 1.0.0"]);
    let file = files(&[("a/node_modules/y/.wh.package.json", "")]);
    assert_eq!(names(&layered(&[base.clone(), file])).len(), 4);
    // Before and after what the same layer adds.
    let new = module("a", "new");
    let (opaque, new) = (("a/.wh..wh..opq", ""), (new.0.as_str(), new.1.as_str()));
    for order in [[opaque, new], [new, opaque]] {
        let layer = files(&order);
        assert_eq!(names(&layered(&[base.clone(), layer])), ["new 1.0.0", "x 1.0.0", "x 1.0.0"]);
    }
    assert!(names(&layered(&[base, files(&[(".wh..wh..opq", "")])])).is_empty());
}

#[test]
fn what_takes_the_place_of_a_folder_hides_what_was_in_it() {
    let base = modules(&[("a", "x"), ("b", "x")]);
    let mut tar = Tar::new(Vec::new());
    tar.append_link(&mut header(EntryType::Symlink, 0, 0o777), "a/node_modules", "/elsewhere").unwrap();
    assert_eq!(names(&layered(&[base.clone(), tar.into_inner().unwrap()])), ["x 1.0.0"]);
    let mut tar = Tar::new(Vec::new());
    tar.append_data(&mut header(EntryType::Directory, 0, 0o755), "a/node_modules", io::empty()).unwrap();
    assert_eq!(
        names(&layered(&[base, tar.into_inner().unwrap()])).len(),
        2,
        "a folder is one with what is there"
    );
}

#[test]
fn links_tell_what_their_file_tells() {
    let mut tar = Tar::new(Vec::new());
    let (path, json) = module("a", "x");
    file(&mut tar, &path, json.as_bytes(), 0o644);
    let mut link = |name: &str, target: &str| {
        tar.append_link(&mut header(EntryType::Link, 0, 0o644), name, target).unwrap();
    };
    link("b/node_modules/x/package.json", &path);
    link("c/node_modules/y/package.json", "store/abcdef");
    link(&path, &path);
    let found = layered(&[tar.into_inner().unwrap()]);
    assert_eq!(names(&found), ["x 1.0.0", "x 1.0.0"]);
    let faults: Vec<_> = found.files().filter(|(_, content)| content.fault.is_some()).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn long_names_in_both_ways_of_writing_them() {
    let deep = "d".repeat(90);
    let folder = format!("{deep}/{deep}/{deep}");
    assert_eq!(names(&layered(&[modules(&[(&folder, "x")])])), ["x 1.0.0"]);
    let (path, json) = module(&folder, "x");
    let mut tar = Tar::new(Vec::new());
    tar.append_pax_extensions([("path", path.as_bytes()), ("mtime", b"1.5")]).unwrap();
    let mut short = header(EntryType::Regular, json.len(), 0o644);
    short.set_path("short").unwrap();
    short.set_cksum();
    tar.append(&short, json.as_bytes()).unwrap();
    file(&mut tar, "short", b"{}", 0o644);
    assert_eq!(names(&layered(&[tar.into_inner().unwrap()])), ["x 1.0.0"]);
}

#[test]
fn all_kinds_in_one_layer_packed_in_every_way() {
    let mut tar = Tar::new(Vec::new());
    file(&mut tar, "var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12\n", 0o644);
    file(&mut tar, "var/lib/dpkg/status.d/base.md5sums", b"00 x\n", 0o644);
    file(&mut tar, "lib/apk/db/installed", b"P:musl\nV:1.2.5-r10\n", 0o644);
    file(&mut tar, "usr/lib/python3/flask.dist-info/METADATA", b"Name: Flask\nVersion: 3\n", 0o644);
    file(&mut tar, "usr/bin/tool", &program(70_000, 2), 0o755);
    file(&mut tar, "usr/share/tool", &program(70_000, 2), 0o644);
    file(&mut tar, "usr/local/bin/node", b"\x7fELF node.js/v22.12.0\0", 0o755);
    file(&mut tar, "var/lib/rpm/Packages", b"?", 0o644);
    let plain = tar.into_inner().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain[..1000]).unwrap();
    let first = gzip.finish().unwrap();
    let mut gzip = GzEncoder::new(first, Compression::fast());
    gzip.write_all(&plain[1000..]).unwrap();
    let zstd = zstd::stream::encode_all(plain.as_slice(), 1).unwrap();
    for layer in [plain, gzip.finish().unwrap(), zstd] {
        let found = layered(&[layer]);
        let names = names(&found);
        assert_eq!(names[..3], ["musl 1.2.5-r10", "stdlib 1.26.8", "example.org/tool -"]);
        assert_eq!(names.len(), 9, "{names:?}");
        assert_eq!(found.size(), 10);
    }
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    let many: String = (0..PACKAGES_MAX).map(|it| format!("P:p{it}\nV:1\n\n")).collect();
    let base = files(&[("lib/apk/db/installed", many.as_str())]);
    let full = layered(&[base.clone(), modules(&[("a", "x")])]);
    assert_eq!((full.size(), full.left_out()), (PACKAGES_MAX, 1));
    let replaced = layered(&[base, files(&[("lib/apk/db/installed", "P:p\nV:1\n")]), modules(&[("a", "x")])]);
    assert_eq!((replaced.size(), replaced.left_out()), (2, 0));

    let padding = " ".repeat(usize::try_from(MANIFEST_MAX).unwrap());
    let large = format!(r#"{{"name": "x", "version": "1"}}{padding}"#);
    let found = layered(&[files(&[("node_modules/x/package.json", &large)])]);
    let (_, content) = found.files().next().unwrap();
    assert_eq!(content.fault.as_deref(), Some("only its first 1 MiB were read"));
}

#[test]
fn what_cannot_be_read_is_said_in_few_words() {
    let long = format!("\"{}\"", "x".repeat(100_000));
    let found = layered(&[files(&[("node_modules/x/package.json", long.as_str())])]);
    let (_, content) = found.files().next().unwrap();
    let fault = content.fault.as_ref().unwrap();
    assert!(fault.starts_with("it is not JSON: ") && fault.len() < 200, "{fault}");
}

#[test]
fn broken_layers_are_errors() {
    let whole = modules(&[("a", "x")]);
    let packed = zstd::stream::encode_all(whole.as_slice(), 1).unwrap();
    let mut damaged = whole.clone();
    damaged[150] ^= 1;
    let mut endless = Tar::new(Vec::new());
    endless.append_pax_extensions([("size", b"99999999999".as_slice())]).unwrap();
    let mut long = Tar::new(Vec::new());
    let mut checked = header(EntryType::GNULongName, 2 << 20, 0o644);
    checked.set_cksum();
    long.append(&checked, io::repeat(b'x').take(2 << 20)).unwrap();
    for (number, broken) in [
        whole[..700].to_vec(),
        packed[..packed.len() / 2].to_vec(),
        damaged,
        b"<html>not found</html>".repeat(100),
        endless.into_inner().unwrap(),
        long.into_inner().unwrap(),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(apply(Found::default(), broken.as_slice()).is_err(), "{number}");
    }
    assert!(names(&layered(&[Vec::new()])).is_empty(), "an empty one is none");
}

proptest! {
    /// Whatever is in the files, and wherever a layer is damaged: an answer, and no panic.
    #[test]
    fn garbage_is_no_trouble(
        content in proptest::collection::vec(any::<u8>(), 0..600), place in 0_usize..4000, byte in any::<u8>(), end in 0_usize..8000,
    ) {
        let mut tar = Tar::new(Vec::new());
        let program = [b"\x7fELF".as_slice(), &[0; 12], b"\xff Go buildinf:\x08\x02", &content].concat();
        for path in ["etc/os-release", "var/lib/dpkg/status", "lib/apk/db/installed", "node_modules/x/package.json", "x.dist-info/METADATA"] {
            file(&mut tar, path, &content, 0o644);
        }
        file(&mut tar, "bin/tool", &program, 0o755);
        let mut layer = tar.into_inner().unwrap();
        apply(Found::default(), layer.as_slice()).unwrap();
        layer[place] = byte;
        layer.truncate(end);
        let _ = apply(Found::default(), layer.as_slice());
    }
}
