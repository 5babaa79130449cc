//! How a command ends, as its exit status tells.

use std::process::ExitCode;

/// The exit status of a command that is a client. [`HELP`] says the same to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for was answered; every session of a kill is gone.
    Done = 0,
    /// No answer that could be used.
    NoAnswer = 1,
    /// What was asked is wrong.
    Wrong = 2,
    /// The question was not answered with yes; nothing was sent.
    NotConfirmed = 3,
    /// The caller may not, or every session is protected; nothing was sent.
    NotAllowed = 4,
    /// Some sessions are gone, some are not.
    Partial = 5,
    /// No session was ended, or listed: the vendor has refused, or could not be asked.
    Failed = 6,
    /// It is on record and goes on; whether the sessions are gone is not known.
    Open = 7,
    /// A call may have reached the vendor, and what it did cannot be told.
    Unknown = 8,
    /// Too many calls, or something is away for now; nothing was killed.
    Later = 9,
}

/// For `--help` of each command.
pub const HELP: &str = "\
Exit status:
  0  answered; of a kill: every session is gone
  1  no answer that could be used, or a file that could not be written
  2  wrong arguments, or the gateway found the request wrong
  3  the question was not answered with yes; nothing was sent
  4  not allowed, or every session is protected; nothing was sent
  5  some sessions are gone, some are not, or were named and not ended
  6  no session was ended, or none was listed: the vendor has refused, or could not be asked
  7  open (pending, accepted): it goes on, and whether the sessions are gone is not known yet
  8  unknown: a call may have reached the vendor; look at the database before anybody tries again
  9  too many calls, or something is away for now: nothing was killed, try later";

impl Exit {
    /// That of a kill with this status.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "succeeded" | "preview" => Self::Done,
            "partial" => Self::Partial,
            "failed" => Self::Failed,
            "refused" => Self::NotAllowed,
            "rate_limited" => Self::Later,
            "pending" | "accepted" => Self::Open,
            // Whatever a newer gateway may call it, it is none that is known to be good.
            _ => Self::Unknown,
        }
    }

    /// That of a problem with this code, answered with this HTTP status; 0 where it stands in a kill.
    pub(super) fn of_problem(code: &str, http_status: u16) -> Self {
        match code {
            "outcome_unknown" => Self::Unknown,
            // The vendor was asked, or would have been, and surely did nothing.
            "upstream_failed" | "upstream_denied" | "upstream_rejected" | "target_busy" | "target_changed"
            | "target_not_found" => Self::Failed,
            "unauthenticated" | "forbidden" => Self::NotAllowed,
            "rate_limited" | "upstream_throttled" | "overloaded" | "audit_unavailable" | "keys_unavailable"
            | "in_progress" | "too_slow" => Self::Later,
            "malformed" | "invalid" | "unsupported_selector" | "unknown_target" | "not_found" | "key_reused" => {
                Self::Wrong
            }
            // One of another version.
            _ => match http_status {
                401 | 403 => Self::NotAllowed,
                408 | 409 | 429 | 503 => Self::Later,
                400..=499 => Self::Wrong,
                _ => Self::NoAnswer,
            },
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Status;

    #[test]
    fn every_status_of_a_kill_has_its_own_meaning() {
        let told: Vec<_> = Status::ALL.iter().map(|status| Exit::of_status(status.as_str()) as u8).collect();
        assert_eq!(told, [7, 7, 0, 5, 6, 4, 9, 8, 0]);
        assert_eq!(Exit::of_status("of a gateway to come"), Exit::Unknown);
    }

    #[test]
    fn a_problem_means_the_same_in_a_kill_as_in_an_answer() {
        for (code, http_status, exit) in [
            ("forbidden", 403, Exit::NotAllowed),
            ("invalid", 422, Exit::Wrong),
            ("unknown_target", 404, Exit::Wrong),
            ("rate_limited", 429, Exit::Later),
            ("audit_unavailable", 503, Exit::Later),
            ("in_progress", 409, Exit::Later),
            ("target_busy", 409, Exit::Failed),
            ("upstream_rejected", 422, Exit::Failed),
            ("upstream_denied", 502, Exit::Failed),
            ("outcome_unknown", 504, Exit::Unknown),
            ("internal", 500, Exit::NoAnswer),
        ] {
            assert_eq!([http_status, 0].map(|status| Exit::of_problem(code, status)), [exit; 2], "{code}");
        }
        assert_eq!(Exit::of_problem("of a gateway to come", 418), Exit::Wrong);
    }

    #[test]
    fn the_help_tells_every_status_there_is() {
        for status in 0..=9 {
            assert!(HELP.contains(&format!("\n  {status}  ")), "{status}");
        }
    }
}
