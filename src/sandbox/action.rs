//! The operations that the simulated clouds serve.

use serde::{Deserialize, Serialize};

/// One operation of a simulated cloud; its word in JSON is the name in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `POST …/kill-session`
    GaussdbKill,
    /// `POST …/real-time-session`
    GaussdbSessions,
    /// `DELETE …/process`
    DasKill,
    /// `GET …/processes`
    DasProcesses,
    /// `DELETE …/nodes/{node_id}/processes`
    TaurusdbKill,
    /// `GET …/nodes/{node_id}/processes`
    TaurusdbProcesses,
    /// `POST …/intelligent-kill-session`
    IntelligentKill,
    /// `GET …/intelligent-kill-session/statistic`
    IntelligentPreview,
    /// `GET …/intelligent-kill-session/history`
    IntelligentHistory,
    /// `POST /v3/auth/tokens`
    IamToken,
    /// `KillSession`
    DcdbKill,
    /// `DescribeFlow`
    DcdbFlow,
    /// `DescribeProcessList`
    DcdbProcesses,
    /// `DescribeDCDBInstanceDetail`
    DcdbDetail,
}

impl Action {
    /// The product that serves it.
    #[must_use]
    pub const fn vendor(self) -> &'static str {
        match self {
            Self::GaussdbKill | Self::GaussdbSessions => "gaussdb",
            Self::DasKill | Self::DasProcesses => "das",
            Self::TaurusdbKill
            | Self::TaurusdbProcesses
            | Self::IntelligentKill
            | Self::IntelligentPreview
            | Self::IntelligentHistory => "taurusdb",
            Self::IamToken => "iam",
            Self::DcdbKill | Self::DcdbFlow | Self::DcdbProcesses | Self::DcdbDetail => "dcdb",
        }
    }
}
