//! Vendors that echo what they were sent: in errors of every shape, in headers, in answers that read well.

use std::collections::BTreeMap;

use killgate::sandbox::{Action, Behaviour, Canned};
use serde_json::json;

fn echo(status: u16, body: &str, secret: &str) -> Behaviour {
    let names = ["X-Request-Id", "X-Iam-Trace-Id", "Retry-After", "X-Echo"];
    let headers: BTreeMap<_, _> = names.map(|name| (name.to_owned(), secret.to_owned())).into();
    Behaviour::Status(Canned { headers, ..Canned::json(status, body) })
}

/// What may come back for that kind of call, full of that secret. None of them costs a key its good standing.
pub(super) fn of(action: Action, secret: &str) -> Vec<Behaviour> {
    if action == Action::DcdbKill { at_tencent(secret) } else { at_huawei(action, secret) }
}

/// The same of a call that is throttled, after which the gateway slows down.
pub(super) fn throttled(action: Action, secret: &str) -> Behaviour {
    if action == Action::DcdbKill {
        let error = json!({ "Code": "RequestLimitExceeded", "Message": secret });
        return echo(200, &json!({ "Response": { "Error": error, "RequestId": secret } }).to_string(), "1");
    }
    echo(429, &json!({ "error_code": secret, "error_msg": secret, "request_id": secret }).to_string(), "1")
}

fn at_huawei(action: Action, secret: &str) -> Vec<Behaviour> {
    let text = format!("canonicalRequest:POST|x-security-token:{secret}|{secret} and {secret}");
    let done = match action {
        Action::GaussdbKill => json!({ "success": true, "session_ids": ["10180", secret], "note": secret }),
        Action::TaurusdbKill => {
            json!({ "processes_killed": [2_075_425, secret], "processes_not_found": [2_075_426], "note": secret })
        }
        Action::IntelligentKill => json!({ "task_id": secret }),
        _ => json!({ "note": secret }),
    };
    let shapes = [
        json!({ "error_code": "DBS.280001", "error_msg": text }),
        json!({ "error_code": secret, "error_msg": text, "request_id": secret }),
        json!({ "errorCode": "DBS.200002", "errorMsg": text }),
        json!({ "code": secret, "message": text }),
        json!({ "errCode": "X", "externalMessage": text }),
        json!({ "error": { "code": secret, "message": text, "title": secret } }),
        json!(secret),
    ];
    let mut echoes = vec![echo(200, &done.to_string(), secret)];
    for (n, shape) in shapes.iter().enumerate() {
        let status = [400, 403, 404, 409, 422, 400, 405][n];
        echoes.push(echo(status, &shape.to_string(), secret));
        echoes.push(echo(200, &shape.to_string(), secret));
    }
    echoes.push(echo(500, &shapes[0].to_string(), secret));
    echoes.push(echo(200, &done.to_string(), secret));
    echoes.push(echo(502, &format!("<html>{secret}</html>"), secret));
    echoes
}

fn at_tencent(secret: &str) -> Vec<Behaviour> {
    let error = |code: &str| {
        let error = json!({ "Code": code, "Message": format!("Credential={secret}, {secret}") });
        echo(200, &json!({ "Response": { "Error": error, "RequestId": secret } }).to_string(), secret)
    };
    let codes = ["InvalidParameter", "AuthFailure.SignatureFailure", "ResourceNotFound", "ResourceUnavailable", "X"];
    let mut echoes: Vec<_> = codes.into_iter().map(error).collect();
    echoes.push(error(secret));
    echoes.push(error(&format!("InvalidParameter.{secret}")));
    let taken = json!({ "Response": { "TaskId": secret, "RequestId": secret } }).to_string();
    echoes.push(echo(200, &taken, secret));
    echoes.push(echo(200, &json!({ "code": 4100, "message": secret }).to_string(), secret));
    echoes.push(echo(503, &taken, secret));
    echoes
}
