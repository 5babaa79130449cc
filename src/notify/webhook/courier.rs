//! The task that delivers to one webhook.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use aws_lc_rs::{hmac, rand};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::Instrument as _;

use super::{Dependencies, after, chat, message::Message, pause};
use crate::{
    audit::Delivery,
    config::{Secret, Webhook},
    spans::{Span, TRACEPARENT},
    upstream::transport::{Request, Response, Transport, TransportError},
};

/// How often is looked for what is due.
const EVERY: Duration = Duration::from_millis(500);
/// Longest time for one try, its answer included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a delivery is left to the gateway that took it: a try and its record. One that dies delays it by so much.
const LEASE: Duration = Duration::from_secs(30);
/// Most tries at once; a receiver that fails is asked one at a time until it takes one.
const PLACES: usize = 8;

/// How long a chat is left alone after a message: the strictest takes twenty a minute, and then none for ten.
const CHAT_PACE: Duration = Duration::from_millis(3100);

/// Delivers to one webhook.
pub(super) struct Courier {
    name: String,
    webhook: Webhook,
    key: hmac::Key,
    transport: Transport,
    dependencies: Dependencies,
}

/// What came of one try.
enum Tried {
    Taken,
    /// The receiver says that it will never take it.
    Unwanted(String),
    /// Why, and how long the receiver asks to be left alone.
    Failed(String, Option<Duration>),
}

impl Courier {
    pub(super) fn new(webhook: &Webhook, dependencies: Dependencies) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &webhook.key());
        let transport = dependencies.ways.of(webhook.authorities.as_deref()).clone();
        Self { name: webhook.name.clone(), webhook: webhook.clone(), key, transport, dependencies }
    }

    /// Delivers what is due until it is told to stop; what is under way then is finished.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let courier = Arc::new(self);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut under_way, mut is_failing) = (JoinSet::new(), false);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(taken) = under_way.join_next() => {
                    is_failing = !taken.unwrap_or(false);
                    // Several at a time, where there are many; and whoever fails is given a moment.
                    if is_failing || !under_way.is_empty() {
                        continue;
                    }
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
            let places = if is_failing || courier.webhook.format.is_chat() { 1 } else { PLACES };
            for delivery in courier.claim(places.saturating_sub(under_way.len())).await {
                let courier = Arc::clone(&courier);
                under_way.spawn(async move { courier.deliver(&delivery).await });
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn claim(&self, places: usize) -> Vec<Delivery> {
        if places == 0 {
            return Vec::new();
        }
        let now = self.dependencies.clock.now();
        let limit = u32::try_from(places).unwrap_or(u32::MAX);
        let claimed = self.dependencies.audit.claim_deliveries(&self.name, now, after(now, LEASE), limit).await;
        claimed.unwrap_or_else(|error| {
            tracing::warn!(webhook = self.name, %error, "deliveries to a webhook cannot be looked for");
            Vec::new()
        })
    }

    /// One try; true if it was taken.
    async fn deliver(&self, delivery: &Delivery) -> bool {
        let mut span = self.dependencies.tracer.of_kill(delivery.kill.id).ask(|| "POST".into());
        span.text("http.request.method", "POST");
        span.text("server.address", self.webhook.url.host_str().unwrap_or_default());
        span.text("killgate.webhook", &self.name);
        span.text("killgate.kill.id", delivery.kill.id);
        span.number("http.request.resend_count", delivery.tries - 1);
        let lines = span.trace().lines();
        self.try_once(delivery, span).instrument(lines).await
    }

    async fn try_once(&self, delivery: &Delivery, mut span: Span) -> bool {
        let (id, tries) = (delivery.kill.id, delivery.tries);
        if !self.webhook.wants(&delivery.kill) {
            self.record(delivery, None).await;
            return true;
        }
        let is_chat = self.webhook.format.is_chat();
        let came = if is_chat {
            self.say(delivery, &mut span).await
        } else {
            self.post(&Message::of(delivery), &mut span).await
        };
        if !matches!(came, Tried::Taken) {
            span.failed("not_delivered");
        }
        drop(span);
        let pause = match &came {
            // No try before the receiver wants one.
            Tried::Failed(_, wait) => pause::after(tries, luck()).map(|pause| pause.max(wait.unwrap_or_default())),
            Tried::Taken | Tried::Unwanted(_) => None,
        };
        let result = match (&came, pause) {
            (Tried::Taken, _) => "delivered",
            (Tried::Failed(why, _), Some(pause)) => {
                let wait_s = pause.as_secs();
                tracing::info!(webhook = self.name, kill_id = %id, tries, why, wait_s, "a delivery to a webhook failed");
                "failed"
            }
            (Tried::Failed(why, _) | Tried::Unwanted(why), _) => {
                tracing::warn!(webhook = self.name, kill_id = %id, tries, why, "a delivery to a webhook was given up");
                "given_up"
            }
        };
        self.dependencies.metrics.delivery(&self.name, result);
        self.record(delivery, pause).await;
        if is_chat {
            sleep(CHAT_PACE).await;
        }
        matches!(came, Tried::Taken)
    }

    /// Records that it is over, or when it is tried again.
    async fn record(&self, delivery: &Delivery, pause: Option<Duration>) {
        let (id, tries, audit) = (delivery.kill.id, delivery.tries, &self.dependencies.audit);
        let recorded = match pause {
            Some(pause) => {
                audit.deliver_later(&self.name, id, tries, after(self.dependencies.clock.now(), pause)).await
            }
            None => audit.delivered(&self.name, id, tries).await,
        };
        if let Err(error) = recorded {
            // The lease runs out, and it is made again.
            tracing::warn!(webhook = self.name, kill_id = %id, %error, "what came of a delivery could not be recorded");
        }
    }

    /// A message in a chat.
    async fn say(&self, delivery: &Delivery, span: &mut Span) -> Tried {
        let Webhook { format, url, secret, .. } = &self.webhook;
        let now = self.dependencies.clock.now();
        let kill = delivery.kill.clone().explained();
        let chat::Post { url, body } = chat::post(*format, &kill, url, secret.as_ref().map(Secret::expose), now);
        let answer = self.transport.send(Request::json(url, body, TIMEOUT)).await;
        note_status(span, &answer);
        match answer {
            Ok(response) if response.status.is_success() => match chat::refusal(*format, &response.body) {
                None => Tried::Taken,
                Some(why) => Tried::Failed(why, None),
            },
            Ok(response) => self.refused(&response, |status| {
                let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !again.contains(&status)
            }),
            Err(error) => Tried::Failed(error.to_string(), None),
        }
    }

    fn refused(&self, response: &Response, is_for_good: impl Fn(StatusCode) -> bool) -> Tried {
        let why = format!("HTTP {}", response.status.as_u16());
        if is_for_good(response.status) {
            return Tried::Unwanted(why);
        }
        Tried::Failed(why, response.retry_after(self.dependencies.clock.now()))
    }

    async fn post(&self, message: &Message, span: &mut Span) -> Tried {
        let mut request = Request::json(self.webhook.url.clone(), message.body.clone(), TIMEOUT);
        request.headers.extend(message.headers(&self.key, self.dependencies.clock.now()));
        request.headers.extend(span.trace().traceparent().map(|value| (TRACEPARENT.to_owned(), value)));
        let answer = self.transport.deliver(request).await;
        note_status(span, &answer);
        match answer {
            Ok(response) if response.status.is_success() => Tried::Taken,
            Ok(response) => self.refused(&response, |status| status == StatusCode::GONE),
            Err(error) => Tried::Failed(error.to_string(), None),
        }
    }
}

/// Notes what was answered, where anything was.
fn note_status(span: &mut Span, answer: &Result<Response, TransportError>) {
    if let Ok(answer) = answer {
        span.number("http.response.status_code", answer.status.as_u16());
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Any number; always the same one on a machine that has no chance to offer.
fn luck() -> u32 {
    let mut bytes = [0; 4];
    let _ = rand::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
