//! A schema registry, as Confluent's REST API has it: schemas by the ids that stand before values. An id's schema never changes, so that it
//! is asked once for each id; what a registry answers is bounded in bytes, in time and in references.

mod http;

pub use http::HttpRegistry;

use async_trait::async_trait;
use bytes::Bytes;
use floe_env::Env;
use serde::Deserialize;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one answer, and schemas that one refers to, by however many steps.
pub(crate) const MOST_BYTES: usize = 4 << 20;
const MOST_REFERENCES: usize = 100;
/// Attempts, the time of each, and the pause before the second, which doubles.
const ATTEMPTS: u32 = 3;
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// What a registry said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

/// The way to a registry.
#[async_trait]
pub trait RegistryClient: Debug + Send + Sync {
    /// `path`: from the registry's root, with its first slash, encoded as a URL is.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn get(&self, path: &str) -> Result<Answer, String>;
}

/// Why there is no schema of an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSchema {
    /// It answered; asking again brings the same.
    #[error("{0}")]
    Wrong(String),
    #[error("the registry cannot be reached: {0}")]
    Silent(String),
}

/// In which language a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Avro,
    Json,
    Protobuf,
}

/// A schema, and the texts that it refers to, by the names that it has for them; what one refers to stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) language: Language,
    pub(crate) text: String,
    pub(crate) references: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Registry {
    env: Env,
    client: Arc<dyn RegistryClient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

impl Registry {
    pub(crate) fn new(env: Env, client: Arc<dyn RegistryClient>) -> Self {
        Self { env, client }
    }

    /// Whether it is there at all; older ones do not have what is asked for, but answer.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn check(&self) -> Result<(), NoSchema> {
        self.get("/schemas/types").await.map(drop)
    }

    /// # Errors
    /// Why there is none: it does not know the id, or does not answer.
    pub(crate) async fn schema(&self, id: u32) -> Result<Registered, NoSchema> {
        let found = self.get(&format!("/schemas/ids/{id}")).await?;
        let found = found.ok_or_else(|| NoSchema::Wrong("the registry does not have it".to_owned()))?;
        let Body { schema, schema_type, references } = parse(&found)?;
        let language = match schema_type.as_deref() {
            None | Some("AVRO") => Language::Avro,
            Some("JSON") => Language::Json,
            Some("PROTOBUF") => Language::Protobuf,
            Some(other) => return Err(NoSchema::Wrong(format!("it is of type {other}, which is not read"))),
        };
        let references = self.follow(references).await?;
        Ok(Registered { language, text: schema, references })
    }

    /// What a schema refers to, the innermost first.
    async fn follow(&self, references: Vec<Reference>) -> Result<Vec<(String, String)>, NoSchema> {
        // Each with its text once what it refers to itself is on top of it: depth first, without a call within itself.
        let mut open: Vec<(Reference, Option<String>)> = references.into_iter().rev().map(|reference| (reference, None)).collect();
        let (mut found, mut asked) = (Vec::new(), 0);
        while let Some((reference, text)) = open.pop() {
            if found.iter().any(|(name, _)| *name == reference.name) {
                continue;
            }
            if let Some(text) = text {
                found.push((reference.name, text));
                continue;
            }
            asked += 1;
            if asked > MOST_REFERENCES {
                return Err(NoSchema::Wrong(format!("it refers to more than {MOST_REFERENCES} others")));
            }
            let path = format!("/subjects/{}/versions/{}", encoded(&reference.subject), reference.version);
            let body = self.get(&path).await?.ok_or_else(|| NoSchema::Wrong(format!("the registry does not have {path}")))?;
            let body = parse(&body)?;
            open.push((reference, Some(body.schema)));
            open.extend(body.references.into_iter().rev().map(|inner| (inner, None)));
        }
        Ok(found)
    }

    /// None: it says that there is no such thing.
    async fn get(&self, path: &str) -> Result<Option<Bytes>, NoSchema> {
        let (mut last, mut pause) = (String::new(), PAUSE);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.env.sleep(pause).await;
                pause *= 2;
            }
            last = match self.env.timeout(ATTEMPT, self.client.get(path)).await {
                Ok(Ok(Answer { status: 200, body })) if body.len() <= MOST_BYTES => return Ok(Some(body)),
                Ok(Ok(Answer { status: 200, .. })) => return Err(NoSchema::Wrong(format!("the answer has more than {MOST_BYTES} bytes"))),
                Ok(Ok(Answer { status: 404, .. })) => return Ok(None),
                Ok(Ok(Answer { status: status @ (408 | 429 | 500..), .. })) => format!("it answered {status}"),
                Ok(Ok(Answer { status, .. })) => return Err(NoSchema::Wrong(format!("the registry answered {status}"))),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} s", ATTEMPT.as_secs()),
            };
        }
        Err(NoSchema::Silent(last))
    }
}

fn parse(body: &[u8]) -> Result<Body, NoSchema> {
    serde_json::from_slice(body).map_err(|error| NoSchema::Wrong(format!("the registry's answer is no schema: {error}")))
}

/// A part of a path, with everything but letters, digits and `-._~` as its code (RFC 3986).
fn encoded(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::collections::BTreeMap;

    /// Answers by path, and what was asked.
    #[derive(Debug, Default)]
    struct Known(BTreeMap<String, Answer>, Mutex<Vec<String>>);

    #[async_trait]
    impl RegistryClient for Known {
        async fn get(&self, path: &str) -> Result<Answer, String> {
            self.1.lock().push(path.to_owned());
            self.0.get(path).cloned().ok_or_else(|| "connection refused".to_owned())
        }
    }

    fn ask(answers: &[(&str, u16, &str)], id: u32) -> (Result<Registered, NoSchema>, Vec<String>) {
        let answer = |(path, status, body): &(&str, u16, &str)| {
            ((*path).to_owned(), Answer { status: *status, body: Bytes::copy_from_slice(body.as_bytes()) })
        };
        let known = Arc::new(Known(answers.iter().map(answer).collect(), Mutex::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let said = runtime.block_on(Registry::new(Env::simulated(1), known.clone()).schema(id));
        let asked = known.1.lock().clone();
        (said, asked)
    }

    #[test]
    fn what_a_schema_refers_to_comes_with_it_the_innermost_first() {
        let refers = |to: &str, subject: &str| {
            format!(
                r#"{{"schema":"{to} refers","schemaType":"PROTOBUF","references":[{{"name":"{to}","subject":"{subject}","version":2}}]}}"#
            )
        };
        let answers = [
            ("/schemas/ids/7", 200, refers("b", "s b")),
            ("/subjects/s%20b/versions/2", 200, refers("c", "c")),
            ("/subjects/c/versions/2", 200, r#"{"schema":"c","references":[]}"#.to_owned()),
        ];
        let answers: Vec<(&str, u16, &str)> = answers.iter().map(|(path, status, body)| (*path, *status, body.as_str())).collect();
        let found = ask(&answers, 7).0.unwrap();
        assert_eq!((found.language, found.text.as_str()), (Language::Protobuf, "b refers"));
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(found.references, [pair("c", "c"), pair("b", "c refers")]);
        // One that refers to itself comes to an end.
        let circle = [("/schemas/ids/7", 200, answers[0].2), ("/subjects/s%20b/versions/2", 200, answers[0].2)];
        assert!(matches!(ask(&circle, 7).0, Err(NoSchema::Wrong(why)) if why.contains("refers to more")));
    }

    #[test]
    fn a_registry_that_does_not_answer_is_asked_again_and_one_that_does_is_not() {
        let (said, asked) = ask(&[], 1);
        assert!(matches!(said, Err(NoSchema::Silent(why)) if why.contains("refused")));
        assert_eq!(asked.len(), 3);
        assert_eq!(ask(&[("/schemas/ids/1", 503, "")], 1).1.len(), 3);
        for (status, body) in [(404, "{}"), (401, ""), (200, "no JSON"), (200, r#"{"schema":"","schemaType":"XML"}"#)] {
            let (said, asked) = ask(&[("/schemas/ids/1", status, body)], 1);
            assert!(matches!(said, Err(NoSchema::Wrong(_))), "{status}");
            assert_eq!(asked.len(), 1, "{status}");
        }
        assert_eq!(ask(&[("/schemas/ids/1", 200, r#"{"schema":"\"int\""}"#)], 1).0.unwrap().language, Language::Avro);
        let large = format!(r#"{{"schema":"{}"}}"#, "x".repeat(MOST_BYTES));
        assert!(matches!(ask(&[("/schemas/ids/1", 200, &large)], 1).0, Err(NoSchema::Wrong(why)) if why.contains("bytes")));
    }
}
