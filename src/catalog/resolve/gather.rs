//! All files read and laid over one another: one description for each provider, the families, the virtual models.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::catalog::file::File;
use crate::catalog::load::Files;
use crate::catalog::overlay::{Families, overlay, overlay_families, overlay_lists};
use crate::catalog::parse;
use crate::catalog::report::Reports;
use crate::give_way::give_way;

/// Bytes of the digest that a version shows: enough that two catalogs of one site never share it.
const VERSION_BYTES: usize = 8;

/// Bytes that are collected before they are digested.
const DIGEST_BUFFER: usize = 16 << 10;

/// What several files say of one provider or preset.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) file: File,
    /// The positions of those files, first to last.
    pub(super) layers: Vec<usize>,
}

/// What all files say.
#[derive(Debug, Default)]
pub(super) struct Layered {
    pub(super) providers: BTreeMap<String, Described>,
    pub(super) presets: BTreeMap<String, Described>,
    pub(super) families: Families,
    pub(super) family_layers: Vec<usize>,
    pub(super) virtuals: BTreeMap<String, Vec<String>>,
    pub(super) virtual_layers: Vec<usize>,
    /// Whether every file could be read: what a lost file would have said is not missed.
    pub(super) complete: bool,
}

pub(super) fn gather(files: &Files, reports: &mut Reports<'_>) -> Layered {
    let mut layered = Layered {
        complete: files.problems().is_empty(),
        ..Layered::default()
    };
    for (position, source) in files.sources().iter().enumerate() {
        give_way();
        let known = reports.list().len();
        match parse::parse(source, reports.list()) {
            Some(file) => layered.add(position, file, reports),
            None => layered.complete = false,
        }
        layered.complete &= reports.list().len() == known;
    }
    let described = std::mem::take(&mut layered.providers);
    for (id, described) in described {
        match rest_on_preset(described, &layered, reports) {
            Some(rested) if rested.file.disabled == Some(true) => {}
            Some(rested) => drop(layered.providers.insert(id, rested)),
            None => layered.complete = false,
        }
    }
    layered
}

impl Layered {
    fn add(&mut self, position: usize, mut file: File, reports: &mut Reports<'_>) {
        // For editors only.
        file.schema = None;
        if let Some(families) = file.families.take() {
            overlay_families(&mut self.families, families);
            self.family_layers.push(position);
        }
        if let Some(lists) = file.virtual_models.take() {
            overlay_lists(&mut self.virtuals, lists);
            self.virtual_layers.push(position);
        }
        let layers = [position];
        let mut scope = reports.scope(&layers);
        let (described, name) = match (&file.provider, &file.template) {
            (Some(id), None) => (&mut self.providers, id.clone()),
            (None, Some(name)) => (&mut self.presets, name.clone()),
            (Some(_), Some(_)) => {
                return scope.problem(
                    &["template"],
                    "a file describes a provider or a template; take one of the two away",
                );
            }
            (None, None) => {
                if serde_json::to_string(&file).is_ok_and(|rest| rest != "{}") {
                    scope.problem(
                        &[],
                        "no \"provider\": say which provider this file describes",
                    );
                }
                return;
            }
        };
        let Some(earlier) = described.remove(&name) else {
            described.insert(
                name,
                Described {
                    file,
                    layers: layers.into(),
                },
            );
            return;
        };
        let mut layers = earlier.layers;
        layers.push(position);
        let file = overlay(earlier.file, file);
        described.insert(name, Described { file, layers });
    }

    /// All that is said, whatever the order and the white space it is said in.
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Digest(Sha256::new());
        for (id, described) in &self.providers {
            digest.add(&(id, &described.file));
        }
        digest.add(&self.families);
        digest.add(&self.virtuals);
        digest
    }
}

/// The description with its preset beneath it; `None`, and a problem, where there is no such preset.
fn rest_on_preset(
    described: Described,
    layered: &Layered,
    reports: &mut Reports<'_>,
) -> Option<Described> {
    let Some(name) = described.file.preset.clone() else {
        return Some(described);
    };
    let mut scope = reports.scope(&described.layers);
    let Some(preset) = layered.presets.get(&name) else {
        // Where a file could not be read, the preset may be in that one.
        if layered.complete {
            let known: Vec<_> = layered.presets.keys().map(String::as_str).collect();
            scope.problem(
                &["preset"],
                format!(
                    "there is no preset `{name}`; there are {}",
                    known.join(", ")
                ),
            );
        }
        return None;
    };
    let mut layers = preset.layers.clone();
    layers.extend(&described.layers);
    let mut beneath = preset.file.clone();
    beneath.template = None;
    let file = overlay(beneath, described.file);
    Some(Described { file, layers })
}

/// Of what a version is made.
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn add(&mut self, said: &impl Serialize) {
        // JSON is written a few bytes at a time, which would each cost as much as a whole block.
        let mut buffered = BufWriter::with_capacity(DIGEST_BUFFER, &mut *self);
        // Writing to a digest cannot fail, and the types hold nothing that JSON cannot.
        let _ = serde_json::to_writer(&mut buffered, said);
        let _ = buffered.flush();
    }

    /// In hexadecimal digits.
    pub(super) fn finish(self) -> Box<str> {
        let mut version = String::with_capacity(2 * VERSION_BYTES);
        for byte in self.0.finalize().iter().take(VERSION_BYTES) {
            let _ = write!(version, "{byte:02x}");
        }
        version.into()
    }
}

impl io::Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
