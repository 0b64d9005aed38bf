//! The certificates that API servers trust: the `caBundle` of the webhook.
//!
//! Each replica has a certificate of its own, so no key is stored anywhere. The bundle
//! holds the newest few; a replica adds its own at the end and looks now and then whether
//! it is still there. Two that write at once conflict by resource version.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::NAME;
use crate::cluster::FIELD_MANAGER;
use crate::metrics::{Call, Metrics};

/// The webhook in its configuration.
const WEBHOOK: &str = "policies.bartizan.dev";
/// Certificates that are kept: more than there are replicas, old and new, in an update.
const KEPT: usize = 8;
const END: &str = "-----END CERTIFICATE-----";

pub(super) struct Bundle {
    api: Api<ValidatingWebhookConfiguration>,
    metrics: Metrics,
}

impl Bundle {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self {
            api: Api::all(client),
            metrics,
        }
    }

    /// Has API servers trust a certificate; whether anything had to change for that.
    pub(super) async fn publish(&self, pem: &str) -> Result<bool, kube::Error> {
        let found = self.api.get(NAME).await;
        let found = self.metrics.called(Call::Certificate, found)?;
        let webhooks = found.webhooks.unwrap_or_default();
        let bundle = webhooks
            .iter()
            .find(|webhook| webhook.name == WEBHOOK)
            .and_then(|webhook| webhook.client_config.ca_bundle.as_ref())
            .map(|bundle| String::from_utf8_lossy(&bundle.0).into_owned())
            .unwrap_or_default();
        let Some(bundle) = with(&bundle, pem) else {
            return Ok(false);
        };
        let patch = json!({
            "metadata": { "resourceVersion": found.metadata.resource_version },
            "webhooks": [{
                "name": WEBHOOK,
                "clientConfig": { "caBundle": ByteString(bundle.into_bytes()) },
            }],
        });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self
            .api
            .patch(NAME, &params, &Patch::Strategic(patch))
            .await;
        self.metrics.called(Call::Certificate, patched)?;
        Ok(true)
    }
}

/// A bundle with one more certificate; `None` if it is there already.
fn with(bundle: &str, pem: &str) -> Option<String> {
    let pem = pem.trim();
    let mut certificates: Vec<String> = bundle
        .split_inclusive(END)
        .map(|certificate| certificate.trim().to_owned())
        .filter(|certificate| certificate.ends_with(END))
        .collect();
    if certificates.iter().any(|known| known == pem) {
        return None;
    }
    certificates.push(pem.to_owned());
    let kept = &certificates[certificates.len().saturating_sub(KEPT)..];
    Some(format!("{}\n", kept.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(number: usize) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{number}\n{END}\n")
    }

    #[test]
    fn a_bundle_holds_the_newest_certificates_and_each_once() {
        let mut bundle = "no certificate at all\n".to_owned();
        for number in 0..12 {
            bundle = with(&bundle, &certificate(number)).expect("it is new");
            assert_eq!(with(&bundle, &certificate(number)), None);
        }
        let expected: String = (4..12).map(certificate).collect();
        assert_eq!(bundle, expected);
    }
}
