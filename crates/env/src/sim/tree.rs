//! The names of a simulated disk: what processes see, what the medium holds, and the changes between the two in order.

use crate::{Env, disk};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    /// By inode number.
    File(u64),
}

#[derive(Debug)]
enum Change {
    Put(String, Node),
    Remove(String),
    /// One change: no crash shows both names, or neither.
    Rename {
        from: String,
        to: String,
        node: Node,
    },
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    live: BTreeMap<String, Node>,
    stored: BTreeMap<String, Node>,
    unsynced: Vec<Change>,
}

impl Tree {
    /// The root is a folder that is always there.
    pub(super) fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() { Some(Node::Dir) } else { self.live.get(path).copied() }
    }

    pub(super) fn put(&mut self, path: &str, node: Node) {
        self.live.insert(path.to_string(), node);
        self.unsynced.push(Change::Put(path.to_string(), node));
    }

    pub(super) fn remove(&mut self, path: &str) {
        if self.live.remove(path).is_some() {
            self.unsynced.push(Change::Remove(path.to_string()));
        }
    }

    /// Renames a file; folders with entries are not renamed.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(node) = self.live.remove(from) {
            self.live.insert(to.to_string(), node);
            self.unsynced.push(Change::Rename { from: from.to_string(), to: to.to_string(), node });
        }
    }

    /// All names below the folder, at any depth, with the folder's part cut off.
    pub(super) fn below<'a>(&'a self, dir: &str) -> impl Iterator<Item = (&'a str, Node)> + use<'a> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let cut = prefix.len();
        let all = self.live.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        all.map(move |(path, node)| (&path[cut..], *node))
    }

    pub(super) fn sync(&mut self, dir: &str) {
        for change in std::mem::take(&mut self.unsynced) {
            if change.is_in(dir) {
                // What happened to these names before is overtaken, even where another folder has it still unsynced.
                self.unsynced.retain(|earlier| !earlier.names().any(|name| change.names().any(|n| n == name)));
                change.store(&mut self.stored);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// Power loss: each unsynced change was stored already with a likelihood in quarters. Returns how many were lost.
    pub(super) fn crash(&mut self, env: &Env, keep_quarters: u64) -> u64 {
        let mut lost = 0;
        for change in std::mem::take(&mut self.unsynced) {
            if env.random_below(4) < keep_quarters {
                change.store(&mut self.stored);
            } else {
                lost += 1;
            }
        }
        let stored = &self.stored;
        let reachable = |path: &str| {
            let mut dirs = path.match_indices('/').map(|(at, _)| &path[..at]);
            dirs.all(|dir| stored.get(dir) == Some(&Node::Dir))
        };
        self.live = stored.iter().filter(|(path, _)| reachable(path)).map(|(path, node)| (path.clone(), *node)).collect();
        self.stored.clone_from(&self.live);
        lost
    }

    /// Whether a name that processes see leads to the inode.
    pub(super) fn names_live(&self, id: u64) -> bool {
        self.live.values().any(|node| *node == Node::File(id))
    }

    /// Whether a name, on the medium or off it, leads to the inode.
    pub(super) fn names_inode(&self, id: u64) -> bool {
        let node = Node::File(id);
        self.names_live(id)
            || self.stored.values().any(|n| *n == node)
            || self.unsynced.iter().any(|change| match change {
                Change::Put(_, n) | Change::Rename { node: n, .. } => *n == node,
                Change::Remove(_) => false,
            })
    }
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match self {
            Self::Put(path, _) | Self::Remove(path) => (path, None),
            Self::Rename { from, to, .. } => (from, Some(to.as_str())),
        };
        std::iter::once(one.as_str()).chain(other)
    }

    fn is_in(&self, dir: &str) -> bool {
        self.names().any(|path| disk::split(path).0 == dir)
    }

    fn store(self, stored: &mut BTreeMap<String, Node>) {
        match self {
            Self::Put(path, node) => {
                stored.insert(path, node);
            }
            Self::Remove(path) => {
                stored.remove(&path);
            }
            Self::Rename { from, to, node } => {
                if stored.get(&from) == Some(&node) {
                    stored.remove(&from);
                }
                stored.insert(to, node);
            }
        }
    }
}
