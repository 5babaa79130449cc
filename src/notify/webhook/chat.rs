//! What is told in a chat: the same kill in the form that each platform takes, and what its answer means.
//!
//! Texts are handed over as plain ones wherever a platform has such a form, and escaped where it has none: nobody's user name or
//! reason becomes a mention, a link or a heading. Statements are not told: more people read a chat than the record.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use time::OffsetDateTime;
use url::Url;

use crate::{
    config::Format,
    domain::{Kill, Session, Status, cut, legible},
};

/// Most sessions that are told one by one.
const SESSIONS: usize = 10;
/// Most characters of a line.
const LINE: usize = 300;

/// A post to a chat.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) url: Url,
    pub(super) body: String,
}

/// The post of a kill to a chat of that format; signed now where there is a secret and the platform has signatures.
pub(super) fn post(format: Format, kill: &Kill, url: &Url, secret: Option<&str>, now: OffsetDateTime) -> Post {
    let (title, lines) = (title(kill), lines(kill));
    let mut url = url.clone();
    let body = match format {
        Format::Plain => json!(null),
        Format::Slack => slack(&title, &lines),
        Format::Teams => teams(&title, &lines, is_good(kill)),
        Format::Feishu => {
            let mut body = feishu(&title, &lines, is_good(kill));
            if let Some(secret) = secret {
                let timestamp = now.unix_timestamp().to_string();
                body["sign"] = json!(signature(&format!("{timestamp}\n{secret}"), ""));
                body["timestamp"] = json!(timestamp);
            }
            body
        }
        Format::Dingtalk => {
            if let Some(secret) = secret {
                let timestamp = (now.unix_timestamp_nanos() / 1_000_000).to_string();
                let sign = signature(secret, &format!("{timestamp}\n{secret}"));
                url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
            }
            let text = [&[title][..], &lines].concat().join("\n");
            json!({ "msgtype": "text", "text": { "content": text }, "at": { "isAtAll": false } })
        }
    };
    Post { url, body: body.to_string() }
}

/// Why a platform did not take a post that it answered with 200; `None` where it has taken it.
pub(super) fn refusal(format: Format, body: &[u8]) -> Option<String> {
    let name = match format {
        Format::Plain | Format::Slack | Format::Teams => return None,
        Format::Feishu => "code",
        Format::Dingtalk => "errcode",
    };
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match answer.get(name).and_then(Value::as_i64) {
        Some(0) => None,
        Some(code) => Some(format!("{name} {code}")),
        None => Some(format!("an answer without {name}")),
    }
}

fn signature(key: &str, message: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), message.as_bytes()))
}

fn title(kill: &Kill) -> String {
    let place = member(kill, "alias").or_else(|| member(kill, "instance_id")).unwrap_or("a place that is not known");
    let many = match kill.sessions.len() {
        0 if kill.names_nobody() => "how many sessions is not known,".to_owned(),
        1 => "1 session".to_owned(),
        many => format!("{many} sessions"),
    };
    line(&format!("killgate: {}, {many} at {place}", kill.status))
}

fn lines(kill: &Kill) -> Vec<String> {
    let behalf = kill.on_behalf_of.as_ref().map(|person| format!(" for {person}")).unwrap_or_default();
    let mut lines = vec![format!("by {}{behalf}", kill.caller)];
    lines.extend(kill.reason.as_ref().map(|reason| format!("because: {reason}")));
    lines.extend(kill.sessions.iter().take(SESSIONS).map(session));
    if kill.sessions.len() > SESSIONS {
        lines.push(format!("and {} more", kill.sessions.len() - SESSIONS));
    }
    lines.extend(kill.problem.as_ref().map(|problem| format!("{}: {}", problem.code.as_str(), problem.detail)));
    lines.extend(kill.note.map(str::to_owned));
    lines.push(format!("kill {}", kill.id));
    lines.iter().map(|text| line(text)).collect()
}

fn session(session: &Session) -> String {
    let user = session.identity.as_ref().and_then(|it| it.user.as_ref()).map(|user| format!(" of {user}"));
    let detail = session.detail.as_ref().map(|detail| format!(" ({detail})"));
    format!("{}{}: {}{}", session.id, user.unwrap_or_default(), session.outcome.as_str(), detail.unwrap_or_default())
}

fn member<'k>(kill: &'k Kill, name: &str) -> Option<&'k str> {
    kill.target.as_ref()?.get(name)?.as_str()
}

/// One line with nothing in it that is not seen.
fn line(text: &str) -> String {
    cut(&legible(text), LINE)
}

/// Incoming webhooks; blocks of plain text, and a text for notifications in which only these three have a meaning.
fn slack(title: &str, lines: &[String]) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let escaped = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({
        "text": escaped,
        "blocks": [
            { "type": "header", "text": plain(&cut(title, 150)) },
            { "type": "section", "text": plain(&cut(&lines.join("\n"), 3000)) },
        ],
    })
}

/// Workflows take adaptive cards; their rich text is read as it is, without Markdown.
fn teams(title: &str, lines: &[String], is_good: bool) -> Value {
    let color = if is_good { "good" } else { "attention" };
    let text = |text: &str| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text }] });
    let heading = json!({
        "type": "RichTextBlock",
        "inlines": [{ "type": "TextRun", "text": title, "weight": "bolder", "size": "medium", "color": color }],
    });
    let body: Vec<Value> = [heading].into_iter().chain(lines.iter().map(|line| text(line))).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard", "version": "1.4", "body": body,
            },
        }],
    })
}

/// Custom bots take cards.
fn feishu(title: &str, lines: &[String], is_good: bool) -> Value {
    let plain = |text: &str| json!({ "tag": "plain_text", "content": text });
    json!({
        "msg_type": "interactive",
        "card": {
            "header": { "title": plain(title), "template": if is_good { "green" } else { "red" } },
            "elements": [{ "tag": "div", "text": plain(&lines.join("\n")) }],
        },
    })
}

fn is_good(kill: &Kill) -> bool {
    matches!(kill.status, Status::Succeeded | Status::Accepted) && !kill.names_nobody()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::domain::{Identity, Outcome, Problem, ProblemCode, SessionId};

    const NOW: OffsetDateTime = datetime!(2021-11-05 08:30:00.123 UTC);

    fn kill() -> Kill {
        let identity = Identity { user: Some("<!channel>\u{202e}@all *b*".into()), ..Identity::default() };
        let session = Session { identity: Some(identity), ..Session::new(&SessionId("7".into()), Outcome::Failed) };
        Kill {
            status: Status::Failed,
            target: Some(json!({ "alias": "orders<&>" })),
            sessions: vec![session],
            reason: Some("INC-4711".into()),
            on_behalf_of: Some("alice".into()),
            problem: Some(Problem::new(ProblemCode::UpstreamDenied, "the vendor refused")),
            ..Kill::sample(NOW)
        }
    }

    fn posted(format: Format, secret: Option<&str>) -> (Url, Value) {
        posted_of(&kill(), format, secret)
    }

    fn posted_of(kill: &Kill, format: Format, secret: Option<&str>) -> (Url, Value) {
        let url = "https://chat.example.com/hook?access_token=canary".parse().unwrap();
        let Post { url, body } = post(format, kill, &url, secret, NOW);
        (url, serde_json::from_str(&body).unwrap())
    }

    const CHATS: [Format; 4] = [Format::Slack, Format::Teams, Format::Feishu, Format::Dingtalk];

    #[test]
    fn every_chat_is_told_who_what_why_and_how_it_ended() {
        for format in CHATS {
            let (_, body) = posted(format, None);
            let text = body.to_string();
            for part in [
                "chatops-bot for alice",
                "INC-4711",
                "failed, 1 session at",
                "7 of ",
                "upstream_denied: the vendor refused",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!text.contains('\u{202e}') && text.contains("\\\\u{202e}"), "{text}");
        }
    }

    #[test]
    fn no_text_of_others_means_anything_to_a_platform() {
        let (_, slack) = posted(Format::Slack, None);
        assert_eq!(slack["text"], "killgate: failed, 1 session at orders&lt;&amp;&gt;");
        let types: Vec<_> = slack["blocks"].as_array().unwrap().iter().map(|block| &block["text"]["type"]).collect();
        assert_eq!(types, ["plain_text", "plain_text"]);
        let (_, teams) = posted(Format::Teams, None);
        let body = teams["attachments"][0]["content"]["body"].as_array().unwrap();
        assert!(body.iter().all(|block| block["type"] == "RichTextBlock"), "{teams}");
        let (_, dingtalk) = posted(Format::Dingtalk, None);
        assert_eq!((&dingtalk["msgtype"], &dingtalk["at"]["isAtAll"]), (&json!("text"), &json!(false)));
    }

    #[test]
    fn a_kill_of_sessions_that_nobody_has_named_is_neither_one_of_none_nor_good() {
        let accepted = Kill {
            status: Status::Accepted,
            select: Some(json!({ "intelligent": true })),
            sessions: vec![],
            problem: None,
            ..kill()
        };
        for format in CHATS {
            let text = posted_of(&accepted, format, None).1.to_string();
            assert!(text.contains("accepted, how many sessions is not known, at orders"), "{text}");
            assert!(!text.contains("0 sessions") && !text.contains("good") && !text.contains("green"), "{text}");
        }
        let nobody = Kill { status: Status::Succeeded, matched: Some(0), ..accepted };
        let text = posted_of(&nobody, Format::Teams, None).1.to_string();
        assert!(text.contains("succeeded, 0 sessions at") && text.contains("\"good\""), "{text}");
    }

    /// Checked against an HMAC that was made by other means.
    #[test]
    fn signatures_are_those_of_the_platforms() {
        let (url, feishu) = posted(Format::Feishu, Some("demo"));
        assert_eq!(feishu["timestamp"], "1636101000");
        assert_eq!(feishu["sign"], FEISHU);
        assert_eq!(url.query(), Some("access_token=canary"));
        let (url, _) = posted(Format::Dingtalk, Some("SECdemo"));
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("access_token", "canary"), pair("timestamp", "1636101000123"), pair("sign", DINGTALK)];
        assert_eq!(pairs, expected);
    }

    const FEISHU: &str = "vH9VayYUqDpVVftDXgfoN5Tp0lvUDONErYsaEQRvU4k=";
    const DINGTALK: &str = "AycPIXa2AioAhc7tEI22prtRw8MkJC4L/8KvW5zIatk=";

    #[test]
    fn an_answer_of_200_is_taken_only_where_it_says_so() {
        let refused = |format, body: &str| refusal(format, body.as_bytes());
        for format in [Format::Slack, Format::Teams] {
            assert_eq!(refused(format, "ok"), None);
        }
        assert_eq!(refused(Format::Feishu, r#"{"code":0,"msg":"success"}"#), None);
        assert_eq!(refused(Format::Feishu, r#"{"code":19021,"msg":"sign match fail"}"#).as_deref(), Some("code 19021"));
        assert_eq!(refused(Format::Dingtalk, r#"{"errcode":0,"errmsg":"ok"}"#), None);
        assert_eq!(refused(Format::Dingtalk, r#"{"errcode":130101}"#).as_deref(), Some("errcode 130101"));
        assert_eq!(refused(Format::Dingtalk, "<html>").as_deref(), Some("an answer without errcode"));
    }
}
