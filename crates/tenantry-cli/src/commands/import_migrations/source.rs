//! Reads the folder of another tool.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tenantry::migrate::SourceFolder;

use crate::failure::Failure;

/// Folders in folders that are looked into.
const DEPTH: usize = 8;
/// Files that no folder of migrations has; a folder with more of them is another one.
const MOST: usize = 100_000;

/// Reads all files of a folder that could matter, or a single file.
pub(super) fn read(from: &Path) -> anyhow::Result<SourceFolder> {
    let is_folder = fs::metadata(from).with_context(|| unreadable(from))?.is_dir();
    let (folder, paths) = if is_folder {
        let mut paths = Vec::new();
        collect(from, DEPTH, &mut paths)?;
        (from, paths)
    } else {
        (from.parent().unwrap_or(Path::new("")), vec![from.to_owned()])
    };
    let mut source = SourceFolder::new(folder.display().to_string().trim_end_matches('/'));
    for path in paths {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let is_read = !is_folder || SourceFolder::is_text(&name);
        let bytes = if is_read { fs::read(&path).with_context(|| unreadable(&path))? } else { Vec::new() };
        source.add(&name, bytes).map_err(tenantry::Error::from)?;
    }
    Ok(source)
}

/// Lists files by their names, so that the same one is told first everywhere.
fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| unreadable(folder))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(|| unreadable(folder))?;
    entries.retain(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if !path.is_dir() {
            paths.push(path);
        } else if depth > 0 {
            collect(&path, depth - 1, paths)?;
        }
        if paths.len() > MOST {
            let message = format!("`{}` holds more than {MOST} files", folder.display());
            return Err(Failure::usage(message).with_hint("name the folder of the migrations").into());
        }
    }
    Ok(())
}

fn unreadable(path: &Path) -> String {
    format!("`{}` cannot be read", path.display())
}
