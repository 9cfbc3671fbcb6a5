//! An MQTT broker (version 3.1.1) that each inspection's record is published at.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rumqttc::{
    Client, ConnectionError, Event, Packet, QoS, RecvTimeoutError as NothingCame, TlsConfiguration, Transport,
};

use super::{MQTT, certificates};
use crate::delivery::{NotTaken, Sink};
use crate::store::Undelivered;

/// Longest time until the broker acknowledges.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a silent connection shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Largest message, bytes: far above any record.
const LARGEST_MESSAGE: usize = 16 << 20;
/// Messages on their way at the same time: each is acknowledged before the next.
const IN_FLIGHT: usize = 1;

/// What an address is. The one that was given is not shown: it may hold a password.
const EXPECTED: &str = "expected an address like mqtt://USER@HOST:1883/TOPIC, or mqtts:// for TLS";

/// Where a broker is, and what to publish at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttAddress {
    /// Name or address of the machine.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether to speak TLS.
    pub is_tls: bool,
    /// User, if it wants one.
    pub user: Option<String>,
    /// The topic.
    pub topic: String,
}

impl std::str::FromStr for MqttAddress {
    type Err = String;

    /// `mqtt://[USER@]HOST[:PORT]/TOPIC`, or `mqtts://`.
    fn from_str(text: &str) -> Result<Self, String> {
        let uri: ureq::http::Uri = text.parse().map_err(|_| EXPECTED)?;
        let user = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')).map(|(user, _)| user);
        if user.is_some_and(|user| user.contains(':')) {
            return Err(format!("{EXPECTED}; a password is given in the environment, where others do not see it"));
        }
        let is_tls = match uri.scheme_str() {
            Some("mqtt") => false,
            Some("mqtts") => true,
            _ => return Err(EXPECTED.to_owned()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(EXPECTED)?;
        let topic = uri.path().trim_start_matches('/');
        if topic.is_empty() || topic.contains(['+', '#']) || uri.query().is_some() {
            return Err(format!("{EXPECTED}; the topic is not empty and has no wildcards"));
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 8883 } else { 1883 }),
            is_tls,
            user: user.map(str::to_owned),
            topic: topic.to_owned(),
        })
    }
}

/// A broker, and how to log in.
#[derive(Clone)]
pub struct MqttOptions {
    /// Where it is.
    pub address: MqttAddress,
    /// The user's password.
    pub password: Option<String>,
    /// Certificates (PEM) that its own is checked with, in place of those that the operating system trusts.
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for MqttOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttOptions").field("address", &self.address).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// Publishes each record at the topic with quality of service 1, not retained, and waits for the acknowledgement.
///
/// # Errors
/// A message, if there are no certificates to check a broker's with.
pub fn mqtt(options: MqttOptions) -> Result<Sink, String> {
    let MqttOptions { address, password, ca } = options;
    let mut settings =
        rumqttc::MqttOptions::new(format!("shapeguard-{}", uuid::Uuid::new_v4().simple()), &address.host, address.port);
    settings.set_keep_alive(KEEP_ALIVE);
    settings.set_max_packet_size(LARGEST_MESSAGE, LARGEST_MESSAGE);
    settings.set_inflight(IN_FLIGHT as u16);
    if let Some(user) = &address.user {
        settings.set_credentials(user, password.unwrap_or_default());
    }
    if address.is_tls {
        settings.set_transport(Transport::tls_with_config(tls(ca.as_deref())?));
    }
    let mut session: Option<Session> = None;
    let send = move |result: &Undelivered| {
        // One that broke off while nothing was to be said is replaced without ado.
        if session.as_mut().is_none_or(|session| !session.is_alive()) {
            session = Some(Session::open(&settings));
        }
        let live = session.as_mut().ok_or_else(|| NotTaken::later("no session"))?;
        let sent = live.publish(&address.topic, result.record.as_bytes());
        if sent.is_err() {
            session = None;
        }
        sent
    };
    Ok(Sink { name: MQTT, send: Box::new(send) })
}

fn tls(ca: Option<&Path>) -> Result<TlsConfiguration, String> {
    let trusted = ca.map_or_else(certificates::trusted, certificates::of_file)?;
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(trusted);
    if usable == 0 {
        return Err("none of the certificates to check the broker's with can be used".to_owned());
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConfiguration::Rustls(config.into()))
}

/// A connection until it breaks.
struct Session {
    client: Client,
    /// What the broker says; the last word is why it broke.
    news: Receiver<News>,
    is_over: Arc<AtomicBool>,
}

enum News {
    Taken,
    Broken(String),
}

impl Drop for Session {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Session {
    fn open(settings: &rumqttc::MqttOptions) -> Self {
        let (client, mut connection) = Client::new(settings.clone(), IN_FLIGHT);
        let (say, news) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let is_let_go = Arc::clone(&is_over);
        // It keeps the connection alive, and ends with it or soon after the session.
        std::thread::spawn(move || {
            let tell = |event: Result<Event, ConnectionError>| match event {
                Ok(Event::Incoming(Packet::PubAck(_))) => say.send(News::Taken).is_ok(),
                Ok(_) => true,
                Err(error) => {
                    // The session may be over.
                    let _ = say.send(News::Broken(error.to_string()));
                    false
                }
            };
            let goes_on = |event| match event {
                Ok(event) => tell(event),
                Err(NothingCame::Timeout) => true,
                Err(NothingCame::Disconnected) => false,
            };
            while !is_let_go.load(Ordering::Relaxed) && goes_on(connection.recv_timeout(TIMEOUT)) {}
        });
        Self { client, news, is_over }
    }

    fn is_alive(&mut self) -> bool {
        matches!(self.news.try_recv(), Err(TryRecvError::Empty))
    }

    fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), NotTaken> {
        let until = Instant::now() + TIMEOUT;
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).map_err(NotTaken::later)?;
        match self.news.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(News::Taken) => Ok(()),
            Ok(News::Broken(reason)) => Err(NotTaken::later(reason)),
            Err(RecvTimeoutError::Timeout) => Err(NotTaken::later("the broker acknowledged nothing")),
            Err(RecvTimeoutError::Disconnected) => Err(NotTaken::later("the connection broke")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| text.parse::<MqttAddress>();
        let expected = MqttAddress {
            host: "line.example".into(),
            port: 1884,
            is_tls: false,
            user: Some("camera".into()),
            topic: "hall/2/results".into(),
        };
        assert_eq!(read("mqtt://camera@line.example:1884/hall/2/results").unwrap(), expected);
        let tls = read("mqtts://[::1]/results").unwrap();
        assert_eq!((tls.host.as_str(), tls.port, tls.is_tls, tls.user), ("::1", 8883, true, None));
        for text in [
            "",
            "line.example",
            "http://line.example/x",
            "mqtt://line.example",
            "mqtt://line.example/",
            "mqtt://h/a/+",
            "mqtt://h/a?b",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read("mqtt://camera:secret@line.example/x").unwrap_err();
        assert!(error.contains("environment") && !error.contains("secret"), "{error}");
    }
}
