//! Traces of system calls, read from samples.

use super::*;

const GOOD: &str = r#"11 pwrite64(7</d/wal/0-0/a.wal>, "\0\0payload-1\3", 12, 64) = 12
11 fdatasync(7</d/wal/0-0/a.wal> <unfinished ...>
12 write(4<anon_inode:[eventfd]>, "\1", 8) = 8
11 <... fdatasync resumed>) = 0
12 sendto(9<socket:[77]>, "\0\0\0'Q001\0\0", 43, MSG_NOSIGNAL, NULL, 0) = 43
"#;

fn check(text: &str) -> Result<(), String> {
    answer_follows_sync(&parse(text), "payload-1", "Q001")
}

/// The same lines in another order.
fn lines(order: &[usize]) -> String {
    let lines: Vec<&str> = GOOD.lines().collect();
    order.iter().map(|at| format!("{}\n", lines[*at])).collect()
}

#[test]
fn calls_that_others_interrupt_are_put_together() {
    let calls = parse(GOOD);
    assert_eq!(calls.len(), 4);
    let sync = &calls[1];
    assert_eq!((sync.name.as_str(), sync.start, sync.end, sync.file()), ("fdatasync", 1, 3, Some("/d/wal/0-0/a.wal")));
}

#[test]
fn an_answer_after_a_sync_that_covers_it_is_good() {
    assert_eq!(check(GOOD), Ok(()));
}

#[test]
fn an_answer_before_the_sync_returned_is_found() {
    assert!(check(&lines(&[0, 1, 2, 4, 3])).unwrap_err().contains("without an fdatasync"));
}

#[test]
fn a_sync_that_began_before_the_write_covers_nothing() {
    assert!(check(&lines(&[1, 0, 2, 3, 4])).is_err());
}

#[test]
fn a_sync_that_failed_or_of_another_file_covers_nothing() {
    assert!(check(&GOOD.replace(") = 0", ") = -1 EIO (Input/output error)")).is_err());
    assert!(check(&GOOD.replace("fdatasync(7</d/wal/0-0/a.wal>", "fdatasync(8</d/wal/0-0/b.wal>")).is_err());
}

#[test]
fn what_was_never_written_or_answered_is_found() {
    assert!(check(&lines(&[1, 2, 3, 4])).unwrap_err().contains("never written"));
    assert!(check(&lines(&[0, 1, 2, 3])).unwrap_err().contains("no answer"));
}

const TRIM: &str = r#"1 pwrite64(7</d/wal/0-0/a.wal>, "payload-1", 9, 0) = 9
2 write(8</d/store/chain/x/slot/0#1>, "..payload-1..", 13) = 13
2 fsync(8</d/store/chain/x/slot/0#1>) = 0
2 linkat(AT_FDCWD, "/d/store/chain/x/slot/0#1", AT_FDCWD, "/d/store/chain/x/slot/0", 0) = 0
2 fsync(9</d/store/chain/x/slot>) = 0
1 rename("/d/wal/0-0/a.wal", "/d/wal/0-0/spare") = 0
"#;

fn trim_without(left_out: Option<usize>) -> Result<bool, String> {
    let kept: String = TRIM.lines().enumerate().filter(|(at, _)| Some(*at) != left_out).map(|(_, line)| format!("{line}\n")).collect();
    object_precedes_trim(&parse(&kept), "payload-1")
}

#[test]
fn a_wal_file_may_go_after_its_object_is_safe() {
    assert_eq!(trim_without(None), Ok(true));
    assert_eq!(trim_without(Some(5)), Ok(false));
}

#[test]
fn each_step_before_a_trim_is_missed_when_it_is_missing() {
    for (left_out, missing) in [(1, "no object"), (2, "was not fsynced"), (3, "got no name"), (4, "the folder")] {
        let problem = trim_without(Some(left_out)).unwrap_err();
        assert!(problem.contains(missing), "{left_out}: {problem}");
    }
}
