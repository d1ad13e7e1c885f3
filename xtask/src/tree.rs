//! The project's files as the checkers see them: paths relative to the root, separated by `/`, with their bytes.
//!
//! What git ignores is not part of it. Checkers work on a [`Tree`] alone, so that their tests need no files.

use anyhow::{Context, bail};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Every file that git tracks, or would.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let root = root();
        let mut files = BTreeMap::new();
        for path in git(&root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?.split('\0').filter(|p| !p.is_empty()) {
            let place = root.join(path);
            // A tracked file may be deleted in the working tree; a link is not followed.
            if place.symlink_metadata().is_ok_and(|m| m.is_file()) {
                files.insert(path.to_string(), std::fs::read(&place).with_context(|| format!("cannot read {path}"))?);
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())).collect() }
    }

    #[cfg(test)]
    pub(crate) fn with_bytes(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.into(), bytes.to_vec());
        self
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The files that are text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter_map(|(path, bytes)| Some((path, std::str::from_utf8(bytes).ok()?)))
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }

    /// Whether the path is a file or a folder of the project. `""` is its root.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(p, _)| p.starts_with(&folder))
    }
}

/// Whether git has the file, not only the working tree.
pub(crate) fn is_tracked(path: &str) -> anyhow::Result<bool> {
    Ok(!git(&root(), &["ls-files", "--", path])?.is_empty())
}

/// The workspace's folder: where cargo found this package, and one up.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}

fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").current_dir(root).args(arguments).output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("a file name is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_there_when_a_file_is_in_them() {
        let tree = Tree::of(&[("docs/decisions/0001.md", ""), ("docs-old", "")]);
        assert!(tree.has("docs") && tree.has("docs/decisions") && tree.has("docs-old") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/0001.md"));
    }

    #[test]
    fn this_project_is_found_and_has_this_file() {
        let tree = Tree::read().unwrap();
        assert!(tree.text("xtask/src/tree.rs").is_some_and(|text| text.contains("this_project_is_found")));
        assert!(!tree.files().any(|(path, _)| path.starts_with("target/")));
        assert!(is_tracked("Cargo.toml").unwrap() && !is_tracked("no-such-file").unwrap());
    }
}
