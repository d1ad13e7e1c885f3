//! A registry over HTTP: the client that object stores are reached with, too.

use super::{Answer, MOST_BYTES, RegistryClient};
use async_trait::async_trait;
use bytes::BytesMut;

/// A registry by its URL. A name and a password in it are sent as HTTP's basic authentication.
#[derive(Debug)]
pub struct HttpRegistry {
    client: reqwest::Client,
    root: String,
}

impl HttpRegistry {
    /// # Errors
    /// It is no URL of `http` or `https`; TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, String> {
        let parsed = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.cannot_be_a_base() {
            return Err("it begins with http:// or https://".to_owned());
        }
        let client = reqwest::Client::builder().build().map_err(|error| told(&error))?;
        Ok(Self { client, root: url.trim_end_matches('/').to_owned() })
    }
}

#[async_trait]
impl RegistryClient for HttpRegistry {
    async fn get(&self, path: &str) -> Result<Answer, String> {
        let request =
            self.client.get(format!("{}{path}", self.root)).header("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        let mut response = request.send().await.map_err(|error| told(&error))?;
        let (status, mut body) = (response.status().as_u16(), BytesMut::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| told(&error))? {
            body.extend_from_slice(&chunk);
            // What is too long is told by its length; the rest of it is not waited for.
            if body.len() > MOST_BYTES {
                break;
            }
        }
        Ok(Answer { status, body: body.freeze() })
    }
}

/// With its causes, and without the URL, which may have a password in it.
fn told(error: &reqwest::Error) -> String {
    let mut all = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(of) = cause {
        all = if all.is_empty() { of.to_string() } else { format!("{all}: {of}") };
        cause = of.source();
    }
    if all.is_empty() { "the request failed".to_owned() } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers every request with this, and closes; what was asked comes back.
    async fn serve(answer: Vec<u8>) -> (String, tokio::sync::mpsc::Receiver<String>) {
        let listener = floe_env::net::listen("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:secret@{}/api/", listener.local_addr().unwrap());
        let (told, asked) = tokio::sync::mpsc::channel(10);
        let serving = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap() > 0 {}
                told.send(String::from_utf8(request).unwrap()).await.unwrap();
                // Who asked need not read all of it.
                stream.write_all(&answer).await.ok();
            }
        };
        floe_env::Env::real().spawn("a registry", serving).detach_to_group();
        (url, asked)
    }

    #[tokio::test]
    async fn answers_come_with_their_status_and_requests_with_their_password() {
        let body = r#"{"schema":"\"int\""}"#;
        let answer = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let (url, mut asked) = serve(answer.into_bytes()).await;
        let answer = HttpRegistry::new(&url).unwrap().get("/schemas/ids/7").await.unwrap();
        assert_eq!(answer, Answer { status: 404, body: body.into() });
        let asked = asked.recv().await.unwrap();
        assert!(asked.starts_with("GET /api/schemas/ids/7 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.to_lowercase().contains("authorization: basic dxnlcjpzzwnyzxq="), "{asked}");
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_read_to_its_end_and_what_is_cut_is_no_answer() {
        let endless = [&b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"[..], &vec![b' '; MOST_BYTES + (1 << 20)]].concat();
        let (url, _asked) = serve(endless).await;
        assert!(HttpRegistry::new(&url).unwrap().get("/a").await.unwrap().body.len() > MOST_BYTES);
        let (url, _asked) = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{".to_vec()).await;
        let error = HttpRegistry::new(&url).unwrap().get("/a").await.unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_url_of_http_is_refused() {
        for url in ["", "registry", "file:///a", "mailto:a@b"] {
            HttpRegistry::new(url).expect_err(url);
        }
    }
}
