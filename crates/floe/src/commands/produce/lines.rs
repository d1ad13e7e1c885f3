//! Reading records: as many lines as are there, but never waiting for more once there is one, so that who types sees each line sent.

use crate::exit::{Exit, Failure};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

const BUFFER: usize = 1 << 20;

pub(super) struct Lines(BufReader<Box<dyn Read + Send>>);

impl Lines {
    #[expect(clippy::disallowed_methods, reason = "a file that the user names, read by a tool")]
    pub(super) fn open(file: Option<&Path>) -> Result<Self, Failure> {
        let source: Box<dyn Read + Send> = match file {
            None => Box::new(io::stdin()),
            Some(path) => {
                let opened = std::fs::File::open(path);
                Box::new(opened.map_err(|error| Failure::new(Exit::Refused, format!("--file {}: {error}", path.display())))?)
            }
        };
        Ok(Self(BufReader::with_capacity(BUFFER, source)))
    }

    /// At least one line, unless the input has ended; then those that have arrived, up to the limits. Without their ends.
    pub(super) fn next_round(&mut self, most: usize, most_bytes: usize) -> io::Result<Vec<Vec<u8>>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < most && bytes < most_bytes && (lines.is_empty() || self.0.buffer().contains(&b'\n')) {
            let mut line = Vec::new();
            if self.0.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            bytes += line.len();
            lines.push(line);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str) -> Lines {
        Lines(BufReader::new(Box::new(text.as_bytes())))
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let mut lines = lines("a\n\nlast\r");
        let round = lines.next_round(10, 1000).unwrap();
        assert_eq!(round, [b"a".to_vec(), b"".to_vec()]);
        assert_eq!(lines.next_round(10, 1000).unwrap(), [b"last\r".to_vec()]);
        assert!(lines.next_round(10, 1000).unwrap().is_empty());
    }

    #[test]
    fn a_round_has_its_limits() {
        assert_eq!(lines("a\nb\nc\n").next_round(2, 1000).unwrap().len(), 2);
        assert_eq!(lines("aaaa\nbbbb\ncccc\n").next_round(100, 5).unwrap().len(), 2);
    }
}
