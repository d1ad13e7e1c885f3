//! The console: one page and its modules, embedded as they are, and the headers under which browsers run them.
//!
//! The page loads nothing from elsewhere, and its policy lets it: scripts and styles are its own files, none inline, and text becomes markup nowhere. Who
//! asks by a name that is not this machine's is refused where the listener is for this machine alone: else a page of anybody's could read it through
//! the browser of somebody who has the right to (by a name that comes to mean 127.0.0.1).

use super::State;
use axum::Router;
use axum::extract::{Path, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

fn headers() -> [(HeaderName, &'static str); 6] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ]
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal $kind:expr;)*) => {
        /// By name below `/console/`, with their type.
        const FILES: &[(&str, &str, &str)] = &[$(($name, $kind, include_str!(concat!("../../console/", $name)))),*];
    };
}

files! {
    "style.css" "text/css; charset=utf-8";
    "icon.svg" "image/svg+xml";
    "app.js" SCRIPT;
    "api.js" SCRIPT;
    "dom.js" SCRIPT;
    "format.js" SCRIPT;
    "chart.js" SCRIPT;
    "overview.js" SCRIPT;
    "brokers.js" SCRIPT;
    "topics.js" SCRIPT;
    "groups.js" SCRIPT;
    "records.js" SCRIPT;
    "store.js" SCRIPT;
}

const PAGE: &str = include_str!("../../console/index.html");

pub(super) fn router() -> Router<Arc<State>> {
    Router::new().route("/", get(page)).route("/console/{file}", get(file))
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

async fn file(Path(asked): Path<String>) -> Response {
    match FILES.iter().find(|(name, ..)| *name == asked) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Lets through what may be asked, and puts the headers on every answer, refusals too.
pub(super) async fn guard(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let mut answer = match refusal(request.headers(), state.is_local) {
        Some((code, why)) => (code, Json(json!({ "error": why }))).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in headers() {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refusal(headers: &HeaderMap, is_local: bool) -> Option<(StatusCode, &'static str)> {
    if is_local && !headers.get(header::HOST).is_some_and(names_this_machine) {
        let why = "ask by an address or as localhost: this listener is for its own machine alone";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    // Sent by browsers only: what a page of another site wants loaded, even unseen, is not done.
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"cross-site" | b"same-site") if headers.get("sec-fetch-mode").is_none_or(|mode| mode != "navigate") => {
            Some((StatusCode::FORBIDDEN, "another site's page may not ask this"))
        }
        _ => None,
    }
}

/// An address, or localhost: what no name server has a say in.
fn names_this_machine(host: &HeaderValue) -> bool {
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_else_may_have_given_are_refused_on_a_listener_of_this_machine() {
        let asked = |host: &'static str| HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
        for host in ["127.0.0.1:9644", "localhost:9644", "LOCALHOST", "[::1]:9644", "10.0.0.1"] {
            assert_eq!(refusal(&asked(host), true), None, "{host}");
        }
        for host in ["evil.example:9644", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b"] {
            assert_eq!(refusal(&asked(host), true).map(|(code, _)| code), Some(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        assert!(refusal(&HeaderMap::new(), true).is_some());
        assert_eq!(refusal(&asked("floe.internal:9644"), false), None);
    }

    #[test]
    fn pages_of_other_sites_may_link_here_and_load_nothing() {
        let asked = |site: &'static str, mode: &'static str| {
            let pairs = [("host", "localhost"), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
            let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            refusal(&HeaderMap::from_iter(headers), true).map(|(code, _)| code)
        };
        assert_eq!((asked("same-origin", "cors"), asked("none", "navigate"), asked("cross-site", "navigate")), (None, None, None));
        assert_eq!(
            (asked("cross-site", "no-cors"), asked("same-site", "cors")),
            (Some(StatusCode::FORBIDDEN), Some(StatusCode::FORBIDDEN))
        );
    }

    #[test]
    fn the_page_loads_its_own_files_alone_and_all_of_them_are_there() {
        let texts = FILES.iter().map(|(name, _, text)| (*name, *text)).chain([("index.html", PAGE)]);
        for (name, text) in texts {
            for elsewhere in ["https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""] {
                assert!(!text.contains(elsewhere), "{name} has {elsewhere}");
            }
            for used in text.split(['"', '\'']).filter_map(|word| word.strip_prefix("./").or_else(|| word.strip_prefix("/console/"))) {
                assert!(FILES.iter().any(|(file, ..)| *file == used), "{name} uses {used}, which is not there");
            }
        }
        // Without a word of it in the head, a module would be asked for only once another has come.
        for (name, ..) in FILES {
            assert!(PAGE.contains(&format!("/console/{name}")), "index.html does not name {name}");
        }
    }
}
