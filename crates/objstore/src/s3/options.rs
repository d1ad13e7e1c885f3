//! Settings of an S3 store, and the client they make.

use crate::{OpenError, credentials::CachedCredentials, credentials::aws_error_text};
use aws_credential_types::provider::ProvideCredentials;
use floe_env::Env;
use floe_types::Millis;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider, S3ConditionalPut},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use url::Url;

/// Bytes of a file of certificates; all of Mozilla's are 220 KiB.
const MAX_CA_BUNDLE: u64 = 4 << 20;

/// Settings of an S3 store. What is not set comes from where the AWS tools look: environment, profile, instance.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// URL of an S3-compatible server; `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` if not set, else AWS itself.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`. Not set: yes with an endpoint, no with AWS itself.
    pub path_style: Option<bool>,
    pub access_key_id: Option<String>,
    #[serde(skip_serializing)]
    pub secret_access_key: Option<String>,
    #[serde(skip_serializing)]
    pub session_token: Option<String>,
    pub connect_timeout: Millis,
    /// A backstop for one request with its body; the limit that scales with size is the store's.
    pub request_timeout: Millis,
    /// How the store encrypts what is put there. Not set: as the bucket says.
    pub encryption: Option<Encryption>,
    /// The key of `aws:kms` and `aws:kms:dsse`, by id or ARN; AWS's own key if not set.
    pub kms_key_id: Option<String>,
    /// Whether S3 asks KMS once for many objects; as the bucket says if not set.
    pub bucket_key: Option<bool>,
    /// Class of every object; the bucket's default if not set. Only classes that are read without restoring.
    pub storage_class: Option<StorageClass>,
    /// Whether requests say that their sender pays for them, as buckets that are set so demand.
    pub request_payer: bool,
    /// File of certificates (PEM) that are trusted beside the system's; `AWS_CA_BUNDLE` if not set.
    pub ca_bundle: Option<PathBuf>,
}

/// A word of S3's, as it is written in settings and sent.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $(#[serde(rename = $word)] $variant,)+
        }

        impl $name {
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{text:?} is not one of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words! {
    /// Server-side encryption.
    Encryption { S3 = "AES256", Kms = "aws:kms", DoubleKms = "aws:kms:dsse", }
}

words! {
    /// The storage classes whose objects are read at once.
    StorageClass {
        Standard = "STANDARD",
        IntelligentTiering = "INTELLIGENT_TIERING",
        StandardIa = "STANDARD_IA",
        OneZoneIa = "ONEZONE_IA",
        GlacierIr = "GLACIER_IR",
        ReducedRedundancy = "REDUCED_REDUNDANCY",
        ExpressOneZone = "EXPRESS_ONEZONE",
    }
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            connect_timeout: Millis(500),
            request_timeout: Millis(60_000),
            encryption: None,
            kms_key_id: None,
            bucket_key: None,
            storage_class: None,
            request_payer: false,
            ca_bundle: None,
        }
    }
}

impl fmt::Debug for S3Options {
    /// Never shows a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &self.secret_access_key.as_ref().map(|_| "..."))
            .field("session_token", &self.session_token.as_ref().map(|_| "..."))
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("encryption", &self.encryption)
            .field("kms_key_id", &self.kms_key_id)
            .field("bucket_key", &self.bucket_key)
            .field("storage_class", &self.storage_class)
            .field("request_payer", &self.request_payer)
            .field("ca_bundle", &self.ca_bundle)
            .finish()
    }
}

/// Settings with the environment and the AWS configuration filled in.
pub(super) struct Resolved {
    pub(super) endpoint: Option<Url>,
    pub(super) region: String,
    pub(super) path_style: bool,
    pub(super) tls: bool,
    ca_bundle: Option<PathBuf>,
    credentials: AwsCredentialProvider,
}

impl S3Options {
    pub(super) async fn client(&self, env: &Env, bucket: &str, name: &str) -> Result<AmazonS3, OpenError> {
        let resolved = self.resolve(env, bucket, name, &|variable| std::env::var(variable).ok().filter(|v| !v.is_empty())).await?;
        // `allow_http` belongs in here: set on the builder it is overwritten by `with_client_options`.
        let mut client = ClientOptions::new()
            .with_allow_http(!resolved.tls)
            .with_connect_timeout(self.connect_timeout.into())
            .with_timeout(self.request_timeout.into());
        if let Some(file) = &resolved.ca_bundle {
            for certificate in certificates(file).map_err(|reason| setting(name, "ca_bundle", &reason))? {
                client = client.with_root_certificate(certificate);
            }
        }
        let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(resolved.region)
            .with_virtual_hosted_style_request(!resolved.path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            // Without TLS only the signature protects the body on its way.
            .with_unsigned_payload(resolved.tls)
            .with_credentials(resolved.credentials)
            .with_request_payer(self.request_payer)
            .with_client_options(client)
            .with_retry(retry);
        for (key, value) in self.encryption_of_objects(name)? {
            builder = builder.with_config(key, value);
        }
        if let Some(endpoint) = resolved.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        builder.build().map_err(|e| OpenError::Unusable { url: name.to_owned(), reason: e.to_string() })
    }

    /// `variable` reads the environment.
    pub(super) async fn resolve(
        &self,
        env: &Env,
        bucket: &str,
        name: &str,
        variable: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Result<Resolved, OpenError> {
        let static_credentials = self.static_credentials(name, variable)?;
        let mut region = self.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let mut endpoint = self.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL_S3")).or_else(|| variable("AWS_ENDPOINT_URL"));
        let credentials: AwsCredentialProvider = match static_credentials {
            Some(credential) => Arc::new(StaticCredentialProvider::new(credential)),
            None => {
                let config = aws_config::defaults(aws_config::BehaviorVersion::latest());
                let config = match &region {
                    Some(region) => config.region(aws_config::Region::new(region.clone())),
                    None => config,
                };
                let config = config.load().await;
                region = region.or_else(|| config.region().map(ToString::to_string));
                endpoint = endpoint.or_else(|| config.endpoint_url().map(str::to_owned));
                let credentials = |reason| OpenError::Credentials { url: name.to_owned(), reason };
                let provider = config.credentials_provider().ok_or_else(|| credentials("no provider is configured".into()))?;
                provider.provide_credentials().await.map_err(|e| credentials(aws_error_text(&e)))?;
                Arc::new(CachedCredentials::new(env.clone(), provider))
            }
        };
        let setting = |key, reason: &str| setting(name, key, reason);
        let endpoint = match endpoint {
            Some(text) => Some(parse_endpoint(&text).map_err(|reason| setting("endpoint", &reason))?),
            None => None,
        };
        // The region is part of the signature only; S3-compatible servers take any.
        let region = match (region, &endpoint) {
            (Some(region), _) => region,
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => return Err(setting("region", "not set, and neither AWS_REGION nor the AWS profile names one")),
        };
        // A name with dots does not match the wildcard of AWS's certificates.
        let path_style = self.path_style.unwrap_or(endpoint.is_some() || bucket.contains('.'));
        let tls = endpoint.as_ref().is_none_or(|endpoint| endpoint.scheme() == "https");
        let endpoint = match endpoint {
            Some(mut endpoint) if !path_style => {
                let host = format!("{bucket}.{}", endpoint.host_str().unwrap_or_default());
                endpoint.set_host(Some(&host)).map_err(|e| setting("path_style", &format!("{host} is no host name: {e}")))?;
                Some(endpoint)
            }
            other => other,
        };
        let ca_bundle = self.ca_bundle.clone().or_else(|| variable("AWS_CA_BUNDLE").map(PathBuf::from));
        Ok(Resolved { endpoint, region, path_style, tls, ca_bundle, credentials })
    }

    /// What the client is told about encryption, by the names that it gives to its settings: it exports no type for these.
    fn encryption_of_objects(&self, name: &str) -> Result<Vec<(AmazonS3ConfigKey, String)>, OpenError> {
        let by_kms = matches!(self.encryption, Some(Encryption::Kms | Encryption::DoubleKms));
        if self.kms_key_id.is_some() && !by_kms {
            return Err(setting(name, "kms_key_id", "needs the encryption aws:kms or aws:kms:dsse"));
        }
        if self.bucket_key.is_some() && !by_kms {
            return Err(setting(name, "bucket_key", "needs the encryption aws:kms or aws:kms:dsse"));
        }
        let said = [
            ("aws_server_side_encryption", self.encryption.map(|encryption| encryption.to_string())),
            ("aws_sse_kms_key_id", self.kms_key_id.clone()),
            ("aws_sse_bucket_key_enabled", self.bucket_key.map(|enabled| enabled.to_string())),
        ];
        let key = |key: &str| key.parse().expect("the client's own name");
        Ok(said.into_iter().filter_map(|(name, value)| Some((key(name), value?))).collect())
    }

    /// Keys from the settings or the environment need no provider, which saves its start-up time.
    fn static_credentials(&self, name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<AwsCredential>, OpenError> {
        let (key_id, secret_key, token) = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => (id.clone(), secret.clone(), self.session_token.clone()),
            (None, None) => match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
                (Some(id), Some(secret)) => (id, secret, variable("AWS_SESSION_TOKEN")),
                _ => return Ok(None),
            },
            (Some(_), None) | (None, Some(_)) => {
                let reason = "access_key_id and secret_access_key go together".to_owned();
                return Err(OpenError::Setting { url: name.to_owned(), setting: "access_key_id", reason });
            }
        };
        Ok(Some(AwsCredential { key_id, secret_key, token }))
    }
}

fn setting(name: &str, setting: &'static str, reason: &str) -> OpenError {
    OpenError::Setting { url: name.to_owned(), setting, reason: reason.to_owned() }
}

/// What a file of certificates holds: at least one.
fn certificates(file: &Path) -> Result<Vec<Certificate>, String> {
    let wrong = |why: String| format!("{}: {why}", file.display());
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_CA_BUNDLE {
        return Err(wrong(format!("{size} bytes are more than a file of certificates has")));
    }
    #[expect(clippy::disallowed_methods, reason = "an operator's file, read once at the start, not in the data directory")]
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&bytes).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("no certificate (PEM) in it".into())) } else { Ok(found) }
}

fn parse_endpoint(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("{text:?} is no URL: {e}"))?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "http" | "https" if plain && url.host_str().is_some() => Ok(url),
        _ => Err(format!("{text:?} is not of the form http(s)://host[:port]")),
    }
}
