//! The console's pages and its `/api`: what they answer, what they refuse, and that nothing asked of them is without bound.

use crate::commands::produce_to;
use crate::process::{Broker, floe, good};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

/// Code, headers in lower case, and body.
struct Answer {
    code: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn ask(broker: &Broker, method: &str, path: &str, more: &str) -> Answer {
    let host = if more.to_lowercase().contains("host:") { String::new() } else { format!("Host: {}\r\n", broker.admin()) };
    let mut stream = TcpStream::connect(broker.admin()).expect("the admin port listens");
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    Answer { code, headers: head.to_lowercase(), body: body.to_owned() }
}

fn get(broker: &Broker, path: &str) -> Value {
    let answer = ask(broker, "GET", path, "");
    assert_eq!(answer.code, 200, "{path}: {}", answer.body);
    answer.json()
}

/// The code, and what is said to be wrong.
fn refused(broker: &Broker, path: &str) -> (u16, String) {
    let answer = ask(broker, "GET", path, "");
    (answer.code, answer.json()["error"].as_str().expect("an error").to_owned())
}

fn names(answer: &Value) -> Vec<&str> {
    answer["topics"].as_array().expect("topics").iter().filter_map(|topic| topic["name"].as_str()).collect()
}

#[test]
fn topics_and_partitions_are_paged_and_searched_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    for name in ["orders", "old-Orders", "payments"] {
        good(&["topic", "create", name, "-b", &broker.kafka(), "--partitions", "3"]);
    }
    let all = get(&broker, "/api/topics");
    assert_eq!((names(&all), &all["matched"], &all["total"]), (vec!["old-Orders", "orders", "payments"], &3.into(), &3.into()));
    assert_eq!(names(&get(&broker, "/api/topics?q=ORD")), ["old-Orders", "orders"]);
    let second = get(&broker, "/api/topics?offset=1&limit=1");
    assert_eq!((names(&second), &second["matched"]), (vec!["orders"], &3.into()));
    assert_eq!(names(&get(&broker, "/api/topics?offset=99999999999")), [""; 0]);
    assert_eq!(refused(&broker, "/api/topics?limit=201"), (400, "limit: must lie between 1 and 200".to_owned()));
    for wrong in ["limit=0", "limit=-1", "offset=x", "limits=5", "internal=perhaps"] {
        assert_eq!(refused(&broker, &format!("/api/topics?{wrong}")).0, 400, "{wrong}");
    }
    assert_eq!(refused(&broker, &format!("/api/topics?q={}", "x".repeat(250))).0, 400);

    let one = get(&broker, "/api/topic?name=orders&offset=2");
    assert_eq!((one["rows"].as_array().map(Vec::len), &one["rows"][0]["partition"], &one["matched"]), (Some(1), &2.into(), &3.into()));
    assert_eq!(
        (&one["rows"][0]["here"], &one["rows"][0]["committed"], &one["topic"]["durability"]),
        (&true.into(), &0.into(), &"local".into())
    );
    assert_eq!(refused(&broker, "/api/topic?name=nothing"), (404, "there is no topic \"nothing\"".to_owned()));
    assert_eq!(refused(&broker, "/api/topic").0, 400);
    broker.drain();
}

#[test]
fn records_are_read_from_either_end_an_offset_or_a_time_and_no_more_than_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    assert_eq!(get(&broker, "/api/records?topic=t&partition=0")["records"], Value::Array(vec![]));
    let lines: String = (0..100).map(|n| format!("value {n}\n")).collect();
    assert!(produce_to(&broker.kafka(), "t", &lines).status.success());
    let read = |more: &str| {
        let answer = get(&broker, &format!("/api/records?topic=t&partition=0{more}"));
        let offsets = answer["records"].as_array().expect("records").iter().filter_map(|record| record["offset"].as_i64());
        (offsets.collect::<Vec<_>>(), answer["next"].as_i64().expect("next"), answer["more"].as_bool().expect("more"))
    };
    assert_eq!(read(""), ((50..100).collect(), 100, false));
    assert_eq!(read("&count=3"), (vec![97, 98, 99], 100, false));
    assert_eq!(read("&from=start&count=2"), (vec![0, 1], 2, true));
    assert_eq!(read("&offset=41&count=2"), (vec![41, 42], 43, true));
    assert_eq!(read("&offset=100"), (vec![], 100, false));
    assert_eq!(read("&offset=-7&count=1"), (vec![0], 1, true), "what lies outside begins at the nearest");
    assert_eq!(read("&offset=5000"), (vec![], 100, false));
    assert_eq!(read("&time=0&count=1"), (vec![0], 1, true));
    assert_eq!(read("&time=9000000000000"), (vec![], 100, false));
    assert_eq!(read("&offset=10&bytes=1").0, [10], "one record is there whatever its size");
    assert_eq!(get(&broker, "/api/records?topic=t&partition=0&offset=41&count=1")["records"][0]["value"]["text"], "value 41");

    assert_eq!(refused(&broker, "/api/records?topic=t&partition=1"), (404, "topic \"t\" has no partition 1".to_owned()));
    assert_eq!(refused(&broker, "/api/records?topic=u&partition=0").0, 404);
    assert_eq!(refused(&broker, "/api/records?topic=t&partition=0&count=501").0, 400);
    assert_eq!(refused(&broker, "/api/records?topic=t&partition=0&from=start&offset=3").0, 400);
    broker.drain();
}

#[test]
fn what_records_hold_leaves_as_text_of_json_and_never_as_markup() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    let evil = "</script><script>alert(1)</script>";
    let mut command = floe(&["produce", "t", "-b", &broker.kafka(), "-k", "=>", "-H", "from=<b>"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("<i>=>{evil}\nk=>{{\"a\": 12345678901234567890}}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let answer = ask(&broker, "GET", "/api/records?topic=t&partition=0", "");
    assert!(answer.headers.contains("content-type: application/json\r\n") && answer.headers.contains("x-content-type-options: nosniff"));
    let json = answer.json();
    let [first, second] = [&json["records"][0], &json["records"][1]];
    assert_eq!((&first["value"]["text"], &first["key"]["text"], &first["value"]["json"]), (&evil.into(), &"<i>".into(), &false.into()));
    assert_eq!((&first["headers"][0]["name"]["text"], &first["headers"][0]["value"]["text"]), (&"from".into(), &"<b>".into()));
    assert_eq!((&second["value"]["json"], &second["value"]["text"]), (&true.into(), &"{\"a\": 12345678901234567890}".into()));
    broker.drain();
}

#[test]
fn contents_of_records_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["-o", "floe.console.records=false"]);
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    assert!(produce_to(&broker.kafka(), "t", "secret\n").status.success());
    let (code, why) = refused(&broker, "/api/records?topic=t&partition=0");
    assert_eq!((code, why.contains("floe.console.records")), (403, true), "{why}");
    assert_eq!(get(&broker, "/api/topic?name=t")["rows"][0]["committed"], 1);
    assert_eq!(get(&broker, "/api/overview")["records_shown"], false);
    broker.drain();
}

#[test]
fn groups_are_shown_with_their_lag_and_looking_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let at = broker.kafka();
    // Groups are there as soon as clients are served, a moment after the ready line.
    assert_eq!(good(&["topic", "list", "-b", &at]), "no topics\n");
    assert_eq!(get(&broker, "/api/groups")["groups"], Value::Array(vec![]));
    assert_eq!(refused(&broker, "/api/group?group=g"), (404, "there is no group \"g\"".to_owned()));
    assert_eq!(get(&broker, "/api/topics?internal=true")["total"], 0, "the topic of the groups was created by looking");
    good(&["topic", "create", "orders", "-b", &at]);
    assert!(produce_to(&at, "orders", "one\ntwo\nthree\nfour\n").status.success());
    good(&["consume", "orders", "-b", &at, "-g", "a group/+&?", "-n", "3"]);
    let listed = get(&broker, "/api/groups?q=GROUP");
    let group = &listed["groups"][0];
    assert_eq!((&group["group"], &group["state"], &group["members"]), (&"a group/+&?".into(), &"Empty".into(), &0.into()));
    assert_eq!((&group["lag"]["lag"], &group["lag"]["unknown"], &group["lag"]["partitions"]), (&1.into(), &0.into(), &1.into()));
    assert_eq!(get(&broker, "/api/groups?q=others")["matched"], 0);
    let one = get(&broker, "/api/group?group=a%20group%2F%2B%26%3F");
    let offset = &one["rows"][0];
    assert_eq!(
        (&offset["topic"], &offset["committed"], &offset["end"], &offset["lag"]),
        (&"orders".into(), &3.into(), &4.into(), &1.into())
    );
    broker.drain();
}

#[test]
fn the_store_is_counted_by_what_is_billed_and_looking_on_asks_it_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &["-o", "price.put.thousand=5", "-o", "price.get.thousand=1"]);
    good(&["topic", "create", "t", "-b", &broker.kafka()]);
    let before = get(&broker, "/api/store");
    for path in ["/", "/api/overview", "/api/brokers", "/api/topics", "/api/topic?name=t", "/api/groups", "/api/store"] {
        assert_eq!(ask(&broker, "GET", path, "").code, 200, "{path}");
    }
    let after = get(&broker, "/api/store");
    assert_eq!((&before["operations"], &before["classes"]), (&after["operations"], &after["classes"]));
    let of = |name: &str| after["cost"][name].as_f64().expect(name);
    let (writes, reads) = (after["writes"].as_f64().expect("writes"), after["reads"].as_f64().expect("reads"));
    assert!(writes > 0.0 && (of("writes") - writes * 0.005).abs() < 1e-9 && (of("reads") - reads * 0.001).abs() < 1e-9, "{after}");
    broker.drain();
}

#[test]
fn it_only_reads_and_only_for_who_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let paths = ["/", "/console/app.js", "/api/overview", "/api/topics", "/api/records?topic=t&partition=0"];
    for path in paths {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            assert_eq!(ask(&broker, method, path, "").code, 405, "{method} {path}");
        }
        let answer = ask(&broker, "GET", path, "Host: evil.example:9644\r\n");
        assert_eq!(answer.code, 421, "{path}: {}", answer.body);
        assert_eq!(ask(&broker, "GET", path, "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n").code, 403, "{path}");
        let answer = ask(&broker, "GET", path, "");
        for header in
            ["content-security-policy: default-src 'none'; script-src 'self'", "x-content-type-options: nosniff", "cache-control: no-store"]
        {
            assert!(answer.headers.contains(header), "{path}: {}", answer.headers);
        }
        assert!(!answer.headers.contains("access-control-"), "{path}: {}", answer.headers);
    }
    assert_eq!(ask(&broker, "GET", "/api/overview", "Host: localhost\r\n").code, 200);
    for path in ["/api/nothing", "/console/nothing.js", "/console/..%2fCargo.toml", "/console/%2e%2e/x"] {
        assert_eq!(ask(&broker, "GET", path, "").code, 404, "{path}");
    }
    broker.drain();
}

#[test]
fn the_page_and_its_modules_are_served_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[]);
    let page = ask(&broker, "GET", "/", "");
    assert!(page.headers.contains("content-type: text/html; charset=utf-8") && page.body.starts_with("<!doctype html>"));
    let own = page.body.split('"').filter(|word| word.starts_with("/console/"));
    let mut found = 0;
    for path in own {
        let file = ask(&broker, "GET", path, "");
        let kind = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert!(file.code == 200 && file.headers.contains(&format!("content-type: {kind}")), "{path}: {}", file.headers);
        found += 1;
    }
    assert!(found > 10, "{}", page.body);
    broker.drain();
}
