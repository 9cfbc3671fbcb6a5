//! Who may do what.
//!
//! With tokens, every request but those for the page's own files carries one. Without, the server listens on loopback alone, and
//! asks that the browser that calls it shows a page of its own: else any page on the internet could, through the browser of
//! whoever sits at the machine, send scans and models (cross-site requests, DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{App, blocking};
use crate::store::Role;

/// Who a request comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's name; `None` if the server has no tokens.
    pub name: Option<String>,
    /// What it may do.
    pub role: Role,
}

impl Caller {
    /// Makes sure that models may be changed.
    ///
    /// # Errors
    /// If not.
    pub fn may_manage(&self) -> Result<(), ApiError> {
        if self.role >= Role::Manage {
            return Ok(());
        }
        let message = "this needs a token of the role manage; make one with `shapeguard token add NAME --role manage`";
        Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
    }
}

/// Lets in who may come in, and notes who it is.
pub async fn authenticate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match caller(&app, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

async fn caller(app: &Arc<App>, headers: &HeaderMap) -> Result<Caller, ApiError> {
    if !app.has_tokens {
        check_origin(headers)?;
        return Ok(Caller { name: None, role: Role::Manage });
    }
    let unauthorized = |message| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let token = token.ok_or_else(|| {
        unauthorized("expected a header `Authorization: Bearer TOKEN`; make a token with `shapeguard token add`")
    })?;
    let station = Arc::clone(&app.station);
    let found = blocking(move || station.store.check_token(&token)).await??;
    let info = found.ok_or_else(|| unauthorized("the token is unknown or revoked; ask for a new one"))?;
    Ok(Caller { name: Some(info.name), role: info.role })
}

/// Refuses what another site's page sends through a browser on this machine.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let refused = |message: &str| Err(ApiError::new(StatusCode::FORBIDDEN, "foreign-origin", message));
    let host = text(header::HOST);
    if host.is_some_and(|host| !is_loopback(host)) {
        return refused(
            "this station has no tokens and answers to localhost alone; add a token to reach it by another name",
        );
    }
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    if text(header::ORIGIN).is_some() && origin != host {
        return refused("a page of another site may not use this station; add tokens if one is meant to");
    }
    Ok(())
}

/// Whether a host with or without a port is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_let_in_without_tokens() {
        let check = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap()));
            check_origin(&headers.collect()).is_ok()
        };
        assert!(check(&[]));
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "LOCALHOST:3"] {
            assert!(check(&[("host", host)]), "{host}");
            assert!(check(&[("host", host), ("origin", &format!("http://{host}"))]), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", ""] {
            assert!(!check(&[("host", host)]), "{host}");
        }
        for origin in ["http://evil.example", "null", "http://localhost:81"] {
            assert!(!check(&[("host", "localhost:80"), ("origin", origin)]), "{origin}");
        }
    }
}
