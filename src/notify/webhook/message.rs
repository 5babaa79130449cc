//! What is told of a kill, and how it is signed.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use time::OffsetDateTime;

use crate::{audit::Delivery, domain::Kill};

/// What is told of a kill. The same delivery gives the same message, whoever makes it and however often.
#[derive(Debug)]
pub(super) struct Message {
    /// Names what is told, so that whoever is told twice can tell.
    pub(super) id: String,
    pub(super) body: String,
}

#[derive(Serialize)]
struct Body<'k> {
    r#type: &'static str,
    #[serde(with = "crate::clock::rfc3339")]
    timestamp: OffsetDateTime,
    data: &'k Kill,
}

impl Message {
    /// # Panics
    /// Never: every key of a kill is a text.
    pub(super) fn of(delivery: &Delivery) -> Self {
        let kill = delivery.kill.clone().explained();
        let body = Body { r#type: "kill.completed", timestamp: delivery.at, data: &kill };
        let body = serde_json::to_string(&body).expect("every key of a kill is a text");
        Self { id: format!("kill-completed-{}", delivery.kill.id), body }
    }

    /// The headers of a try at that time.
    pub(super) fn headers(&self, key: &hmac::Key, now: OffsetDateTime) -> Vec<(String, String)> {
        let timestamp = now.unix_timestamp().to_string();
        let signature = hmac::sign(key, format!("{}.{timestamp}.{}", self.id, self.body).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(signature));
        let headers =
            [("webhook-id", self.id.clone()), ("webhook-timestamp", timestamp), ("webhook-signature", signature)];
        headers.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector that the reference libraries of the specification are tested with.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let message = Message { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(), body: r#"{"test": 2432232314}"#.into() };
        let now = OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap();
        let headers = message.headers(&key, now);
        let expected = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
