//! One layer of an image: a tar, packed or not, whose entries add to what lower layers have, or take from it.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tar::{Entry, EntryType, Header, PaxExtensions};

use crate::control;
use crate::found::{Content, Found};
use crate::place::{self, Tells, Whiteout};
use crate::{golang, node, npm, os, python};

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// A frame that wants more memory to be unpacked is refused: 64 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;
/// Of a layer. What unpacks to more is taken for an attack.
const UNPACKED_MAX: u64 = 64 << 30;
/// Of a long name or an extended header.
const EXTENSION_MAX: u64 = 1 << 20;
/// Of the file in which a package manager keeps all that it has installed.
const DATABASE_MAX: u64 = 16 << 20;
/// Of what is said of a file that cannot be read, in characters.
const FAULT_MAX: usize = 120;
/// Of the file in which a package tells of itself.
const MANIFEST_MAX: u64 = 1 << 20;

/// What is found once this layer lies over those below. Reads it to its end.
pub fn apply(below: Found, layer: impl Read) -> io::Result<Found> {
    let mut unpacked = unpack(layer)?.take(UNPACKED_MAX);
    let mut layering = Layering { below, own: Found::default() };
    walk(&mut unpacked, &mut layering)?;
    // What follows the archive's end belongs to the bytes whose digest is checked.
    io::copy(&mut unpacked, &mut io::sink())?;
    if unpacked.limit() == 0 {
        return Err(io::Error::other(format!("it has more than {} GiB unpacked", UNPACKED_MAX >> 30)));
    }
    Ok(layering.own.over(layering.below))
}

/// By its first bytes: what a manifest says of a layer is not always so.
fn unpack<'l>(mut layer: impl Read + 'l) -> io::Result<Box<dyn Read + 'l>> {
    let mut first = Vec::with_capacity(4);
    layer.by_ref().take(4).read_to_end(&mut first)?;
    let kind = first.clone();
    let whole = io::Cursor::new(first).chain(layer);
    Ok(if kind.starts_with(GZIP) {
        Box::new(BufReader::new(MultiGzDecoder::new(whole)))
    } else if kind == ZSTD {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(BufReader::new(decoder))
    } else {
        Box::new(BufReader::new(whole))
    })
}

/// What lower layers have and this one does not take away, and what this one has.
struct Layering {
    below: Found,
    own: Found,
}

/// What entries say about the one after them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Extensions are read here, not by `tar`: that one believes their size.
fn walk(unpacked: &mut impl Read, layering: &mut Layering) -> io::Result<()> {
    let mut archive = tar::Archive::new(unpacked);
    let mut extension = Extension::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            extension.path = Some(long_name(&mut entry)?);
        } else if kind.is_gnu_longlink() {
            extension.link = Some(long_name(&mut entry)?);
        } else if kind.is_pax_local_extensions() {
            pax(&mut entry, &mut extension)?;
        } else if !kind.is_pax_global_extensions() {
            let Extension { path, link } = std::mem::take(&mut extension);
            let path = path.unwrap_or_else(|| entry.header().path_bytes().into_owned());
            if let Some(path) = place::normalized(&path) {
                layering.entry(&mut entry, kind, path, link)?;
            }
        }
    }
    Ok(())
}

impl Layering {
    fn entry(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        kind: EntryType,
        path: String,
        link: Option<Vec<u8>>,
    ) -> io::Result<()> {
        match place::whiteout(&path) {
            Some(Whiteout::Of(hidden)) => {
                self.below.forget(&hidden);
                self.below.forget_inside(&hidden);
                return Ok(());
            }
            Some(Whiteout::Opaque(folder)) => {
                self.below.forget_inside(&folder);
                return Ok(());
            }
            Some(Whiteout::Mark) => return Ok(()),
            None => {}
        }
        // Before anything goes: a link may lead to itself.
        let linked = if kind.is_hard_link() { self.linked(entry.header(), link, &path) } else { None };
        // A folder takes the place of a file, and all else that of a folder and what was in it.
        for found in [&mut self.below, &mut self.own] {
            found.forget(&path);
            if !kind.is_dir() {
                found.forget_inside(&path);
            }
        }
        let content = if kind.is_file() || kind.is_contiguous() {
            let is_program = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            read(entry, &path, is_program)?.map(Arc::new)
        } else {
            linked
        };
        if let Some(content) = content {
            self.own.keep(path, content, self.below.size());
        }
        Ok(())
    }

    /// One more name for a file that came before it.
    fn linked(&self, header: &Header, link: Option<Vec<u8>>, path: &str) -> Option<Arc<Content>> {
        let link = link.or_else(|| header.link_name_bytes().map(|it| it.into_owned()))?;
        let target = place::normalized(&link)?;
        let known = self.own.get(&target).or_else(|| self.below.get(&target));
        known.or_else(|| {
            place::tells(path)?;
            Some(Arc::new(fault("it is a link to a file whose name does not say what it is".to_owned())))
        })
    }
}

/// An error may show what it found.
fn shortened(error: &str) -> String {
    error.chars().take(FAULT_MAX).collect()
}

fn fault(why: String) -> Content {
    Content { fault: Some(why), ..Content::default() }
}

/// `None`: it tells nothing.
fn read(file: &mut impl Read, path: &str, is_program: bool) -> io::Result<Option<Content>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(tells) = place::tells(path) else {
        let packages = match (is_program, name) {
            (false, _) => Vec::new(),
            (true, "node") => Vec::from_iter(node::package(file)?),
            (true, _) => golang::modules(file)?,
        };
        return Ok((!packages.is_empty()).then(|| Content { packages, ..Content::default() }));
    };
    let max = match tells {
        Tells::Dpkg | Tells::Apk => DATABASE_MAX,
        Tells::Npm | Tells::Python | Tells::Release => MANIFEST_MAX,
        Tells::Rpm => return Ok(Some(fault("packages of rpm are not listed".to_owned()))),
    };
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    let is_cut = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max;
    let text = String::from_utf8_lossy(&bytes);
    let only = |package| Vec::from_iter::<Option<_>>(package);
    let mut content = match tells {
        Tells::Dpkg => Content { packages: control::dpkg(&text), ..Content::default() },
        Tells::Apk => Content { packages: control::apk(&text), ..Content::default() },
        Tells::Python => Content { packages: only(python::package(&text)), ..Content::default() },
        Tells::Release => Content { release: Some(os::release(&text)), ..Content::default() },
        Tells::Npm if is_cut => Content::default(),
        Tells::Npm => match npm::package(&bytes) {
            Ok(package) => Content { packages: only(package), ..Content::default() },
            Err(error) => fault(format!("it is not JSON: {}", shortened(&error.to_string()))),
        },
        Tells::Rpm => Content::default(),
    };
    // Of Python's metadata the first lines are enough.
    if is_cut && tells != Tells::Python {
        content.fault = Some(format!("only its first {} MiB were read", max >> 20));
    }
    Ok((content != Content::default()).then_some(content))
}

fn bounded(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(EXTENSION_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > EXTENSION_MAX {
        return Err(io::Error::other(format!("the name of a file has more than {EXTENSION_MAX} bytes")));
    }
    Ok(bytes)
}

fn long_name(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut name = bounded(entry)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.truncate(end);
    Ok(name)
}

fn pax(entry: &mut impl Read, extension: &mut Extension) -> io::Result<()> {
    let bytes = bounded(entry)?;
    for record in PaxExtensions::new(&bytes) {
        let record = record?;
        match record.key_bytes() {
            b"path" => extension.path = Some(record.value_bytes().to_owned()),
            b"linkpath" => extension.link = Some(record.value_bytes().to_owned()),
            // The header cannot say it, so what follows would be taken for headers.
            b"size" => return Err(io::Error::other("a file in it has more than 8 GiB")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
