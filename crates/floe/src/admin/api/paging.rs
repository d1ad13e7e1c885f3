//! Which part of a list is asked for.

use super::Refused;
use serde_json::{Value, json};

/// Rows of an answer, unless it is told otherwise, and at most.
const USUAL: usize = 50;
const MOST: usize = 200;
/// Longest text that is searched for: topics and most groups have no longer names.
const LONGEST_SEARCH: usize = 249;

/// A part of a list, by where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    offset: usize,
    limit: usize,
}

impl Window {
    pub(super) fn new(offset: Option<usize>, limit: Option<usize>) -> Result<Self, Refused> {
        let limit = limit.unwrap_or(USUAL);
        if (1..=MOST).contains(&limit) {
            return Ok(Self { offset: offset.unwrap_or(0), limit });
        }
        Err(Refused::Question(format!("limit: must lie between 1 and {MOST}")))
    }

    /// Of all that was found.
    pub(super) fn of<T>(self, found: Vec<T>) -> Part<T> {
        let matched = found.len();
        Part { window: self, matched, rows: found.into_iter().skip(self.offset).take(self.limit).collect() }
    }
}

/// The rows asked for, and of how many.
#[derive(Debug)]
pub(super) struct Part<T> {
    window: Window,
    matched: usize,
    pub(super) rows: Vec<T>,
}

impl<T> Part<T> {
    /// As JSON, under a name, with what each row is shown as.
    pub(super) fn show(&self, name: &str, rows: Vec<Value>) -> Value {
        json!({ "matched": self.matched, "offset": self.window.offset, "limit": self.window.limit, name: rows })
    }
}

/// A text that names are searched for: anywhere in them, in any case.
#[derive(Debug)]
pub(super) struct Search(String);

impl Search {
    pub(super) fn new(text: Option<String>) -> Result<Self, Refused> {
        let text = text.unwrap_or_default();
        if text.len() > LONGEST_SEARCH {
            return Err(Refused::Question(format!("q: must not be longer than {LONGEST_SEARCH} bytes")));
        }
        Ok(Self(text.trim().to_lowercase()))
    }

    pub(super) fn finds(&self, name: &str) -> bool {
        self.0.is_empty() || name.to_lowercase().contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_bounded_and_lies_anywhere_in_its_list() {
        let rows = |offset, limit| Window::new(offset, limit).map(|window| window.of((0..10).collect::<Vec<i32>>()).rows);
        assert_eq!(rows(None, None).unwrap(), (0..10).collect::<Vec<_>>());
        assert_eq!(rows(Some(8), Some(5)).unwrap(), [8, 9]);
        assert_eq!(rows(Some(usize::MAX), Some(MOST)).unwrap(), [0; 0]);
        for limit in [0, MOST + 1, usize::MAX] {
            assert!(matches!(rows(None, Some(limit)), Err(Refused::Question(why)) if why.contains("between 1 and 200")), "{limit}");
        }
    }

    #[test]
    fn names_are_searched_in_any_case_and_by_text_of_bounded_length() {
        let search = |text: &str| Search::new(Some(text.to_owned()));
        assert!(search(" ORD ").unwrap().finds("my-orders") && search("").unwrap().finds("x") && Search::new(None).unwrap().finds("x"));
        assert!(!search("ord.*").unwrap().finds("orders"), "it is a text and no pattern");
        assert!(matches!(search(&"x".repeat(250)), Err(Refused::Question(_))));
    }
}
