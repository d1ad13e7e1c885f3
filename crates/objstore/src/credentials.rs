//! AWS credentials from aws-config, cached.
//!
//! The object_store client asks for credentials on every request, and the provider inside an `SdkConfig` does not cache:
//! without this, a `credential_process` is executed and IMDS or STS are called once per request. One refresh at a time;
//! a failed refresh goes on with what is still valid. The keys never appear in `Debug` output.

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use floe_env::Env;
use object_store::{CredentialProvider, aws::AwsCredential};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::RwLock;

/// Credentials are renewed this long before they expire, or a fifth of their remaining life where that is less.
const MARGIN: Duration = Duration::from_secs(300);

/// No request was sent, for want of credentials.
#[derive(Debug, thiserror::Error)]
#[error("no credentials: {0}")]
pub(crate) struct NoCredentials(String);

#[derive(Clone)]
struct Cached {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
    margin: Duration,
}

/// The provider handed to object_store.
pub(crate) struct CachedCredentials {
    env: Env,
    inner: SharedCredentialsProvider,
    cached: RwLock<Option<Cached>>,
}

impl fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedCredentials")
    }
}

impl CachedCredentials {
    pub(crate) fn new(env: Env, inner: SharedCredentialsProvider) -> Self {
        Self { env, inner, cached: RwLock::new(None) }
    }

    /// Expiry is the provider's wall-clock word; being wrong about it costs a refused request, no safety rests on it.
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(u64::try_from(self.env.now_ms()).unwrap_or(0))
    }

    fn valid(&self, cached: Option<&Cached>, with_margin: bool) -> Option<Arc<AwsCredential>> {
        let cached = cached?;
        let margin = if with_margin { cached.margin } else { Duration::ZERO };
        match cached.expires {
            Some(expires) if expires <= self.now() + margin => None,
            _ => Some(Arc::clone(&cached.credential)),
        }
    }
}

#[async_trait]
impl CredentialProvider for CachedCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(credential) = self.valid(self.cached.read().await.as_ref(), true) {
            return Ok(credential);
        }
        let mut slot = self.cached.write().await;
        if let Some(credential) = self.valid(slot.as_ref(), true) {
            return Ok(credential);
        }
        match self.inner.provide_credentials().await {
            Ok(fresh) => {
                let credential = Arc::new(AwsCredential {
                    key_id: fresh.access_key_id().into(),
                    secret_key: fresh.secret_access_key().into(),
                    token: fresh.session_token().map(Into::into),
                });
                let expires = fresh.expiry();
                let life = expires.and_then(|at| at.duration_since(self.now()).ok());
                let margin = life.map_or(MARGIN, |life| MARGIN.min(life / 5));
                *slot = Some(Cached { credential: Arc::clone(&credential), expires, margin });
                Ok(credential)
            }
            Err(error) => self
                .valid(slot.as_ref(), false)
                .ok_or_else(|| object_store::Error::Generic { store: "S3", source: Box::new(NoCredentials(aws_error_text(&error))) }),
        }
    }
}

/// The whole chain of an SDK error, whose own text is only its outermost layer.
pub(crate) fn aws_error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::{
        Credentials,
        provider::{error::CredentialsError, future},
    };
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Gives credentials that live for `life`; every answer has a number; odd ones fail where `flaky`.
    #[derive(Debug)]
    struct Counting {
        env: Env,
        asked: Arc<AtomicU32>,
        life: Option<Duration>,
        flaky: bool,
    }

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            let expires = self.life.map(|life| UNIX_EPOCH + Duration::from_millis(self.env.now_ms() as u64) + life);
            future::ProvideCredentials::ready(match self.flaky && number % 2 == 1 {
                true => Err(CredentialsError::provider_error("away")),
                false => Ok(Credentials::new(format!("key{number}"), "secret", Some("token".into()), expires, "test")),
            })
        }
    }

    fn provider(env: &Env, life: Option<Duration>, flaky: bool) -> (CachedCredentials, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let inner = Counting { env: env.clone(), asked: Arc::clone(&asked), life, flaky };
        (CachedCredentials::new(env.clone(), SharedCredentialsProvider::new(inner)), asked)
    }

    async fn key(provider: &CachedCredentials) -> String {
        provider.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_requests_at_once_ask_the_provider_once() {
        let env = Env::simulated(1);
        let (provider, asked) = provider(&env, None, false);
        let keys = futures::future::join_all((0..100).map(|_| key(&provider))).await;
        assert!(keys.iter().all(|key| key == "key0"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(provider.get_credential().await.unwrap().token.as_deref(), Some("token"));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_renewed_before_they_expire_however_short_they_live() {
        let env = Env::simulated(1);
        let (long, _) = provider(&env, Some(Duration::from_secs(3600)), false);
        assert_eq!(key(&long).await, "key0");
        env.sleep(Duration::from_secs(3290)).await;
        assert_eq!(key(&long).await, "key0");
        env.sleep(Duration::from_secs(20)).await;
        assert_eq!(key(&long).await, "key1");

        let (short, _) = provider(&env, Some(Duration::from_secs(100)), false);
        assert_eq!(key(&short).await, "key0");
        env.sleep(Duration::from_secs(79)).await;
        assert_eq!(key(&short).await, "key0");
        env.sleep(Duration::from_secs(2)).await;
        assert_eq!(key(&short).await, "key1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_renewal_goes_on_with_what_is_still_valid_and_no_longer() {
        let env = Env::simulated(1);
        let (provider, _) = provider(&env, Some(Duration::from_secs(100)), true);
        assert_eq!(key(&provider).await, "key0");
        env.sleep(Duration::from_secs(90)).await;
        assert_eq!(key(&provider).await, "key0", "answer 1 failed, the old one has 10 s left");
        let (provider, asked) = super::tests::provider(&env, Some(Duration::from_secs(100)), true);
        assert_eq!(key(&provider).await, "key0");
        env.sleep(Duration::from_secs(101)).await;
        let error = provider.get_credential().await.expect_err("expired, and answer 1 fails");
        assert!(error.to_string().contains("away"), "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }
}
