//! The server: maps requests to the station and its answers to statuses (docs/station.md, "Interface"). What it does is in
//! [`crate::station`], [`crate::queue`], [`crate::shelf`], [`crate::fits`] and [`crate::store`].

mod auth;
mod bodies;
mod connections;
mod error;
mod events;
mod fits;
mod inspections;
mod models;
mod open_inference;
mod page;
mod request_id;
mod status;
mod texts;

use std::fs::{File, TryLockError};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use error::{ApiError, ErrorBody};

use crate::fits::Fits;
use crate::queue::Queue;
use crate::station::Station;
use crate::store::{Retention, StoreError};

/// Largest model file that is taken; a model of 300 good scans has some 250 MB.
const LARGEST_MODEL_BYTES: usize = 2 << 30;
/// The file in the data folder that a running server locks.
const LOCK: &str = "server.lock";
/// How often old inspections are let go: a minute's inspections are few.
const RETENTION_PERIOD: Duration = Duration::from_secs(60);
/// How often leftovers are looked for, in periods of the above: it lists all files, and leftovers are rare.
const SWEEP_EVERY: usize = 60;
/// What the page may do: nothing but what it brought with it.
const CONTENT_SECURITY: &str = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'";

/// How a server is run.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// Where it listens; `None`: nowhere, when what it inspects comes from a folder alone.
    pub address: Option<SocketAddr>,
    /// Inspections at the same time.
    pub workers: usize,
    /// Inspections that may wait.
    pub queue: usize,
    /// Largest request with a scan, bytes.
    pub largest_scan_bytes: usize,
    /// Most pixels of a scan.
    pub max_pixels: usize,
    /// Longest time of a request.
    pub timeout: Duration,
    /// What is kept.
    pub retention: Retention,
}

/// Why a server does not start or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could reach it, and anybody may do anything.
    #[error(
        "{address}: other machines could reach the station there, and it has no tokens; make one with `shapeguard token add NAME --role manage --data DIR`, or listen on 127.0.0.1"
    )]
    NoTokens {
        /// Where it was to listen.
        address: IpAddr,
    },
    /// It cannot listen.
    #[error("{address}: cannot listen there: {source}; choose another address or port with --listen")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Another server uses the data.
    #[error("{folder}: another station uses this folder; stop it first, or choose another --data")]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// The operating system fails it.
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What every request can reach.
pub(crate) struct App {
    pub(crate) station: Arc<Station>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) fits: Arc<Fits>,
    /// Tensors that are made files of at the same time.
    pub(crate) decoding: tokio::sync::Semaphore,
    pub(crate) options: ServeOptions,
    /// Whether requests need a token. Asked once: making the first token while the server runs must not lock anybody out
    /// half-way, and revoking the last one must not open it.
    pub(crate) has_tokens: bool,
    pub(crate) started_ms: i64,
    /// Held as long as the server runs.
    _lock: File,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Shapeguard inspection station",
    description = "Inspects scans of manufactured parts, remembers every part, manages models. Errors have the body ErrorBody, under /v2 PlainError. With tokens, every request under /v1 and /v2 but for /v2/health needs `Authorization: Bearer TOKEN`."
))]
struct Description;

/// A station at work, whether or not it listens.
#[derive(Debug)]
pub struct Server {
    listener: Option<tokio::net::TcpListener>,
    app: Arc<App>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens, if it is to, and starts the workers.
    ///
    /// # Errors
    /// If it cannot listen, or others could reach it without a token.
    pub async fn bind(station: Arc<Station>, options: ServeOptions) -> Result<Self, ServeError> {
        let has_tokens = !station.store.tokens()?.is_empty();
        let listener = match options.address {
            Some(address) if !has_tokens && !address.ip().is_loopback() => {
                return Err(ServeError::NoTokens { address: address.ip() });
            }
            Some(address) => Some(
                tokio::net::TcpListener::bind(address)
                    .await
                    .map_err(|source| ServeError::Listen { address, source })?,
            ),
            None => None,
        };
        let lock = lock(station.store.folder())?;
        let queue = Arc::new(Queue::start(&station, options.workers, options.queue));
        let fits = Arc::new(Fits::new(Arc::clone(&station))?);
        let app = App {
            station,
            queue,
            fits,
            decoding: tokio::sync::Semaphore::new(options.workers),
            options,
            has_tokens,
            started_ms: crate::time::now_ms(),
            _lock: lock,
        };
        Ok(Self { listener, app: Arc::new(app) })
    }

    /// Where it listens: the port that the operating system chose, if none was named.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn address(&self) -> Result<Option<SocketAddr>, ServeError> {
        Ok(self.listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?)
    }

    /// The line of inspections, for those that come from elsewhere.
    pub fn queue(&self) -> Arc<Queue> {
        Arc::clone(&self.app.queue)
    }

    /// Serves until `stop` ends; then answers what was taken and takes nothing more.
    ///
    /// # Errors
    /// If the operating system fails it.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let Self { listener, app } = self;
        let housekeeping = tokio::spawn(keep_house(Arc::clone(&app)));
        let station = Arc::clone(&app.station);
        let stop = async move {
            stop.await;
            // Streams of events would hold the end up for ever.
            station.tell(crate::station::Event::Stopping);
        };
        match listener {
            Some(listener) => connections::serve(listener, router(&app), app.options.timeout, stop).await,
            None => stop.await,
        }
        housekeeping.abort();
        // Requests are answered by now; what was taken for those whose senders left is finished too.
        let finish = Arc::clone(&app);
        tokio::task::spawn_blocking(move || finish.queue.stop()).await.map_err(std::io::Error::other)?;
        Ok(())
    }
}

/// Makes sure that no other server has other models active over the same data.
fn lock(folder: &Path) -> Result<File, ServeError> {
    let file = File::create(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::InUse { folder: folder.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Lets old inspections go, and removes leftovers.
async fn keep_house(app: Arc<App>) {
    for period in 0.. {
        let (station, retention) = (Arc::clone(&app.station), app.options.retention);
        let done = tokio::task::spawn_blocking(move || {
            let store = &station.store;
            store.forget(retention, crate::time::now_ms())?;
            if period % SWEEP_EVERY == 0 { store.sweep(std::time::SystemTime::now()) } else { Ok(0) }
        });
        match done.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!("letting old inspections go: {error}"),
            Err(error) => tracing::error!("letting old inspections go: {error}"),
        }
        tokio::time::sleep(RETENTION_PERIOD).await;
    }
}

/// The description of the interface, as OpenAPI.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api(&ServeLimits { scan: 0, model: 0 }).merge(open()).split_for_parts().1
}

struct ServeLimits {
    scan: usize,
    model: usize,
}

fn api(limits: &ServeLimits) -> OpenApiRouter<Arc<App>> {
    let scans = OpenApiRouter::new()
        .routes(routes!(inspections::inspect, inspections::list))
        .routes(routes!(fits::add_scan))
        .routes(routes!(open_inference::infer))
        .routes(routes!(open_inference::infer_version))
        .layer(DefaultBodyLimit::max(limits.scan));
    let model_files =
        OpenApiRouter::new().routes(routes!(models::upload, models::get)).layer(DefaultBodyLimit::max(limits.model));
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(status::status))
        .routes(routes!(inspections::get))
        .routes(routes!(inspections::add_feedback))
        .routes(routes!(inspections::thumbnail))
        .routes(routes!(inspections::image))
        .routes(routes!(inspections::heat))
        .routes(routes!(inspections::overlay))
        .routes(routes!(inspections::map))
        .routes(routes!(inspections::cloud))
        .routes(routes!(models::list))
        .routes(routes!(models::activate))
        .routes(routes!(models::roll_back))
        .routes(routes!(models::feedback))
        .routes(routes!(events::events))
        .routes(routes!(fits::create, fits::list))
        .routes(routes!(fits::get, fits::remove))
        .routes(routes!(fits::start))
        .routes(routes!(open_inference::server))
        .routes(routes!(open_inference::model))
        .routes(routes!(open_inference::version))
        .routes(routes!(open_inference::model_ready))
        .routes(routes!(open_inference::version_ready))
        .merge(scans)
        .merge(model_files)
}

/// What needs no token.
fn open() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(open_inference::live)).routes(routes!(open_inference::ready))
}

fn router(app: &Arc<App>) -> Router {
    let limits = ServeLimits { scan: app.options.largest_scan_bytes, model: LARGEST_MODEL_BYTES };
    let description = Arc::new(serde_json::to_value(openapi()).unwrap_or_default());
    let guarded = Router::from(api(&limits))
        .route("/metrics", get(status::metrics))
        .route("/v1/openapi.json", get(move || async move { axum::Json((*description).clone()) }))
        .route_layer(from_fn_with_state(Arc::clone(app), auth::authenticate));
    let header =
        |name: HeaderName, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    Router::new()
        .merge(guarded)
        .merge(Router::from(open()))
        .route("/health/live", get(|| async { "live" }))
        .route("/health/ready", get(status::ready))
        .fallback(page::file)
        .layer(CatchPanicLayer::custom(|_| ApiError::internal("a request panicked").into_response()))
        .layer(from_fn_with_state(Arc::clone(app), bodies::bound))
        .layer(from_fn_with_state(Arc::clone(app), observe))
        .layer(from_fn(open_inference::plain_errors))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .layer(header(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .layer(from_fn(request_id::name))
        .with_state(Arc::clone(app))
}

/// Logs and counts every request.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    // The route, not the address: names in it would make endless counters.
    let route = request.extensions().get::<MatchedPath>().map_or("page", MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let response = next.run(request).await;
    let (status, time) = (response.status().as_u16(), start.elapsed());
    app.station.measures.requested(&route, &method, status, time);
    tracing::info!(route, method, status, seconds = time.as_secs_f64(), "request");
    response
}

/// Runs what waits for the disk or computes long beside the threads that answer.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
        .await
        .map_err(|error| ApiError::internal(&error.to_string()))
}
