//! A web server that is sent each inspection's record.

use std::time::Duration;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{WEBHOOK, certificates};
use crate::delivery::{NotTaken, Sink};
use crate::store::Undelivered;

/// Longest time of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where results are sent, and as whom.
#[derive(Clone)]
pub struct WebhookOptions {
    /// The address, http or https.
    pub url: String,
    /// The token of `Authorization: Bearer`, if it wants one.
    pub token: Option<String>,
}

impl std::fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookOptions").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Sends `POST` with the record, and `Idempotency-Key` with the inspection's id. It is taken with any status of 200 to 299;
/// 401, 403, 404, 408, 425, 429 and those from 500 on mean later, as does no answer; any other means never.
///
/// # Errors
/// A message, if the address is none of http or https, or there are no certificates to check the server's with.
pub fn webhook(options: WebhookOptions) -> Result<Sink, String> {
    let uri: ureq::http::Uri = options.url.parse().map_err(|error| format!("{}: {error}", options.url))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(format!("{}: expected an address like https://line.example/results", options.url));
    }
    let tls = match uri.scheme_str() {
        Some("https") => {
            let trusted = certificates::trusted()?;
            let roots: RootCerts = trusted.iter().map(|der| Certificate::from_der(der).to_owned()).into();
            TlsConfig::builder().root_certs(roots).build()
        }
        _ => TlsConfig::default(),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        // Another address was not asked for, and may not be meant to see the token.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let send = move |result: &Undelivered| {
        let mut request =
            agent.post(&options.url).header("content-type", "application/json").header("idempotency-key", &result.id);
        if let Some(token) = &options.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send(result.record.as_bytes()).map_err(NotTaken::later)?;
        judge(response.status().as_u16(), response.headers().get("retry-after").and_then(|value| value.to_str().ok()))
    };
    Ok(Sink { name: WEBHOOK, send: Box::new(send) })
}

fn judge(status: u16, retry_after: Option<&str>) -> Result<(), NotTaken> {
    let reason = format!("the server answered {status}");
    match status {
        200..=299 => Ok(()),
        // Authorization may be mended, and what is there comes back: neither says anything of the result.
        401 | 403 | 404 | 408 | 425 | 429 | 500.. => {
            let after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            Err(NotTaken::Later { reason, after })
        }
        _ => Err(NotTaken::Never { reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_taken_later_or_never() {
        assert_eq!(judge(204, None), Ok(()));
        assert!(
            matches!(judge(503, Some("7")), Err(NotTaken::Later { after: Some(after), .. }) if after.as_secs() == 7)
        );
        assert!(matches!(judge(429, Some("tomorrow")), Err(NotTaken::Later { after: None, .. })));
        for status in [401, 404, 500, 502] {
            assert!(matches!(judge(status, None), Err(NotTaken::Later { .. })), "{status}");
        }
        for status in [301, 400, 410, 413, 422] {
            assert!(matches!(judge(status, None), Err(NotTaken::Never { .. })), "{status}");
        }
    }

    #[test]
    fn addresses_of_other_kinds_are_refused() {
        for url in ["", "line.example", "ftp://line.example/x", "https://", "mqtt://line.example/x"] {
            let options = WebhookOptions { url: url.to_owned(), token: None };
            assert!(webhook(options).is_err(), "{url}");
        }
        assert!(webhook(WebhookOptions { url: "http://127.0.0.1:9/x".to_owned(), token: None }).is_ok());
    }
}
