use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap as Headers, Uri};
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;

const ANSWER: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#;

/// A server that writes down what it is asked.
async fn server() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let note = |State(asked): State<Arc<Mutex<Vec<String>>>>,
                uri: Uri,
                RawQuery(query): RawQuery,
                headers: Headers| async move {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let line = format!(
            "{} {} {} {}",
            uri.path(),
            query.unwrap_or_default(),
            header("authorization"),
            header("x-scope-orgid")
        );
        asked.lock().unwrap().push(line.trim_end().to_owned());
        ANSWER
    };
    let app = Router::new().route("/{*path}", get(note)).with_state(asked.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/prom/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, asked)
}

fn prometheus(address: &str) -> Prometheus {
    // A client of reqwest needs one; only the second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = config::Prometheus {
        address: address.parse().unwrap(),
        scrape_interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        token: Token::Value("secret".into()),
        headers: [("x-scope-orgid".parse().unwrap(), "shop".parse().unwrap())].into_iter().collect(),
        auth: None,
        tls: None,
    };
    Prometheus::new(&config).unwrap()
}

#[test]
fn a_range_has_a_point_at_its_end_and_one_for_each_scrape() {
    let (end, second) = (UNIX_EPOCH + Duration::from_hours(1000), Duration::from_secs(1));
    let points = |window: Duration, step: Duration| {
        let Some(range) = Range::of(Window::Span(window), end, step) else { return 1 };
        assert_eq!(range.end, end);
        let span = end.duration_since(range.start).unwrap();
        assert!(span <= window && window < span + range.step, "{span:?} of {window:?}");
        span.as_nanos() / range.step.as_nanos() + 1
    };
    assert_eq!(points(second * 60, second * 15), 5, "the Autoscaler's window has its five points");
    assert_eq!(points(second * 70, second * 15), 5);
    assert_eq!(points(second * 10, second * 15), 1);
    assert_eq!(points(second * 86_400 * 30, second), 10_001, "Prometheus takes no more than 11,000");
    assert_eq!(Range::of(Window::Instant, end, second), None);
}

#[tokio::test]
async fn the_right_thing_is_asked_with_who_asks() {
    let (address, asked) = server().await;
    let prometheus = prometheus(&address);
    let now = UNIX_EPOCH + Duration::from_millis(1_000_000_500);
    let minute = Duration::from_mins(1);
    assert_eq!(prometheus.ask("sum(up)", Window::Instant, Duration::ZERO, now).await, Ok(vec![2.0]));
    assert_eq!(prometheus.ask("up", Window::Instant, minute, now).await, Ok(vec![2.0]));
    // A scalar is no range; what was asked is what counts here.
    let _ = prometheus.ask("up", Window::Span(minute), minute, now).await;
    let from = "Bearer secret shop";
    let wanted = [
        format!("/prom/api/v1/query query=sum%28up%29 {from}"),
        format!("/prom/api/v1/query query=up&time=999940.500 {from}"),
        format!("/prom/api/v1/query_range query=up&start=999880.500&end=999940.500&step=15.000 {from}"),
    ];
    assert_eq!(*asked.lock().unwrap(), wanted);
}

#[tokio::test]
async fn nobody_there_is_away_and_not_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = prometheus(&address).ask("up", Window::Instant, Duration::ZERO, SystemTime::now()).await;
    assert!(matches!(&answer, Err(Unanswered::Away(reason)) if reason.contains(&address)), "{answer:?}");
}
