//! What brings brokers elsewhere back: one action at a time, however many ask for it.

use crate::exit::{Exit, Failure};
use clap::Args;
use floe_env::Env;
use parking_lot::Mutex;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What was done is not done again so soon: it takes a while to show.
const AGAIN: Duration = Duration::from_secs(10);
/// After one that failed.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// What one action may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Where Kubernetes puts what a pod needs to talk to it.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Debug, Args)]
#[group(id = "wake", multiple = false)]
pub(super) struct Arguments {
    /// Command line for sh that brings the brokers back, such as "aws autoscaling set-desired-capacity ..."
    #[arg(long, value_name = "COMMAND")]
    wake_command: Option<String>,
    /// Address that gets a POST request to bring the brokers back
    #[arg(long, value_name = "URL")]
    wake_webhook: Option<String>,
    /// StatefulSet that is scaled to so many replicas to bring the brokers back; the pod's service account must be allowed to
    #[arg(long, value_name = "NAMESPACE/NAME=REPLICAS")]
    wake_kubernetes: Option<String>,
}

#[derive(Debug, Clone)]
enum Action {
    Command(String),
    Webhook(reqwest::Client, reqwest::Url),
    Kubernetes(Scale),
}

/// A StatefulSet's scale.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scale {
    namespace: String,
    name: String,
    replicas: u32,
}

impl Arguments {
    fn action(&self) -> Result<Action, Failure> {
        let refused = |message: String| Failure::new(Exit::Refused, message);
        if let Some(command) = &self.wake_command {
            return Ok(Action::Command(command.clone()));
        }
        if let Some(url) = &self.wake_webhook {
            let url = reqwest::Url::parse(url).map_err(|error| refused(format!("--wake-webhook {url}: {error}")))?;
            let client = reqwest::Client::builder().timeout(LIMIT).build().map_err(|error| refused(error.to_string()))?;
            return Ok(Action::Webhook(client, url));
        }
        if let Some(text) = &self.wake_kubernetes {
            let scale = Scale::parse(text).ok_or_else(|| refused(format!("--wake-kubernetes {text}: not NAMESPACE/NAME=REPLICAS")))?;
            return Ok(Action::Kubernetes(scale));
        }
        Err(refused("connections that are passed on need --wake-command, --wake-webhook or --wake-kubernetes".to_owned()))
    }
}

impl Scale {
    fn parse(text: &str) -> Option<Self> {
        let (namespace, rest) = text.split_once('/')?;
        let (name, replicas) = rest.split_once('=')?;
        // As Kubernetes names things: nothing that a URL could take for something else.
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        let replicas = replicas.parse().ok().filter(|replicas| *replicas > 0)?;
        (is_name(namespace) && is_name(name)).then(|| Self { namespace: namespace.to_owned(), name: name.to_owned(), replicas })
    }
}

/// Does the action, at most one at a time.
#[derive(Debug)]
pub(super) struct Waker {
    env: Env,
    action: Action,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    /// When it may be done again, on the monotonic clock.
    again: Duration,
}

impl Waker {
    pub(super) fn new(env: Env, arguments: &Arguments) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self { env, action: arguments.action()?, state: Mutex::default() }))
    }

    /// Begins the action, unless it is under way or was done just now.
    pub(super) fn wake(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.is_running || self.env.monotonic() < state.again {
                return;
            }
            state.is_running = true;
        }
        let this = self.clone();
        let work = async move {
            let began = this.env.monotonic();
            let done = this.env.timeout(LIMIT, this.act()).await.unwrap_or_else(|_| Err(format!("took longer than {LIMIT:?}")));
            let took = this.env.monotonic().saturating_sub(began);
            match &done {
                Ok(()) => tracing::info!(?took, "woke the brokers"),
                Err(error) => tracing::warn!(%error, ?took, "cannot wake the brokers"),
            }
            let pause = if done.is_ok() { AGAIN } else { AGAIN_AFTER_FAILURE };
            *this.state.lock() = State { is_running: false, again: this.env.monotonic() + pause };
        };
        self.env.spawn("wake the brokers", work).detach_to_group();
    }

    async fn act(&self) -> Result<(), String> {
        match &self.action {
            Action::Command(line) => self.command(line.clone()).await,
            Action::Webhook(client, url) => answered(client.post(url.clone()).send().await).await,
            Action::Kubernetes(scale) => self.scale(scale).await,
        }
    }

    async fn command(&self, line: String) -> Result<(), String> {
        let run = move || Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).status();
        let status = self.env.compute("run a command", run).await.map_err(|failed| failed.to_string())?;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the command ended with {status}")),
            Err(error) => Err(format!("sh: {error}")),
        }
    }

    /// `PATCH .../statefulsets/NAME/scale`, as `kubectl scale` does. The token is read anew each time: it changes within the hour.
    async fn scale(&self, scale: &Scale) -> Result<(), String> {
        let read = || Ok::<_, std::io::Error>((read_account("token")?, read_account("ca.crt")?));
        let (token, authority) = self
            .env
            .compute("read the service account", read)
            .await
            .map_err(|failed| failed.to_string())?
            .map_err(|error| error.to_string())?;
        let authority = reqwest::Certificate::from_pem(&authority).map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder().timeout(LIMIT).tls_certs_only([authority]).build().map_err(|error| error.to_string())?;
        let url = format!("https://kubernetes.default.svc/apis/apps/v1/namespaces/{}/statefulsets/{}/scale", scale.namespace, scale.name);
        let body = serde_json::json!({"spec": {"replicas": scale.replicas}}).to_string();
        let request = client.patch(url).header("content-type", "application/merge-patch+json");
        let request = request.bearer_auth(String::from_utf8_lossy(&token).trim());
        answered(request.body(body).send().await).await
    }
}

#[expect(clippy::disallowed_methods, reason = "what Kubernetes mounts is none of the broker's disk")]
fn read_account(name: &str) -> std::io::Result<Vec<u8>> {
    let path = format!("{ACCOUNT}/{name}");
    std::fs::read(&path).map_err(|error| std::io::Error::new(error.kind(), format!("{path}: {error}")))
}

async fn answered(answer: Result<reqwest::Response, reqwest::Error>) -> Result<(), String> {
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("{} answered {status}", answer.url())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_a_namespace_a_name_and_a_number() {
        let scale = Scale { namespace: "data".to_owned(), name: "floe".to_owned(), replicas: 3 };
        assert_eq!(Scale::parse("data/floe=3"), Some(scale));
        for wrong in ["", "floe=3", "data/floe", "data/floe=0", "data/floe=x", "data/../x=3", "/floe=3", "data/floe?x=3"] {
            assert_eq!(Scale::parse(wrong), None, "{wrong}");
        }
    }
}
