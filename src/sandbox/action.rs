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
    /// `POST …/kill-process`
    DasrdsKill,
    /// `GET …/query-process-list` and `GET …/pg/query-process-list`
    DasrdsProcesses,
    /// `GET …/instances/{instance_id}`
    TaurusdbInstance,
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
    /// `PUT …/ops/intelligent-kill-session`
    RdsKill,
    /// `GET …/ops/intelligent-kill-session/statistic`
    RdsPreview,
    /// `POST /v3/auth/tokens`
    IamToken,
    /// `POST /v3.0/OS-CREDENTIAL/securitytokens`
    IamKeys,
    /// `PUT /meta-data/latest/api/token`
    EcsToken,
    /// `GET /openstack/latest/securitykey`
    EcsKeys,
    /// `GET …/cam/security-credentials/`
    CvmRoles,
    /// `GET …/cam/security-credentials/{role}`
    CvmKeys,
    /// `AssumeRole`
    StsAssumeRole,
    /// `AssumeRoleWithWebIdentity`
    StsWebIdentity,
    /// `KillSession`
    DcdbKill,
    /// `DescribeFlow`
    DcdbFlow,
    /// `DescribeProcessList`
    DcdbProcesses,
    /// `DescribeDCDBInstanceDetail`
    DcdbDetail,
    /// `KillSession`
    TdsqlKill,
    /// `DescribeFlow`
    TdsqlFlow,
    /// `DescribeProcessList`
    TdsqlProcesses,
    /// `DescribeDBInstanceDetail`
    TdsqlDetail,
    /// `KillMySqlThreads`, `Prepare`
    DbbrainPrepare,
    /// `KillMySqlThreads`, `Commit`
    DbbrainKill,
    /// `DescribeMySqlProcessList`
    DbbrainProcesses,
    /// `CreateKillInstanceSessionTaskWithMaintainUser`
    AlidasKill,
    /// `GetKillInstanceSessionTaskResult`
    AlidasTask,
    /// `GetMySQLAllSessionAsync`
    AlidasSessions,
}

impl Action {
    /// The one that it counts with, where actions count apart: both steps of an operation are one.
    pub(super) const fn counted_as(self) -> Self {
        match self {
            Self::DbbrainPrepare => Self::DbbrainKill,
            other => other,
        }
    }

    /// The product that serves it.
    #[must_use]
    pub const fn vendor(self) -> &'static str {
        match self {
            Self::GaussdbKill | Self::GaussdbSessions => "gaussdb",
            Self::DasKill | Self::DasProcesses => "das",
            Self::DasrdsKill | Self::DasrdsProcesses => "dasrds",
            Self::TaurusdbInstance
            | Self::TaurusdbKill
            | Self::TaurusdbProcesses
            | Self::IntelligentKill
            | Self::IntelligentPreview
            | Self::IntelligentHistory => "taurusdb",
            Self::RdsKill | Self::RdsPreview => "rds",
            Self::IamToken | Self::IamKeys => "iam",
            Self::EcsToken | Self::EcsKeys => "ecs",
            Self::CvmRoles | Self::CvmKeys => "cvm",
            Self::StsAssumeRole | Self::StsWebIdentity => "sts",
            Self::DcdbKill | Self::DcdbFlow | Self::DcdbProcesses | Self::DcdbDetail => "dcdb",
            Self::AlidasKill | Self::AlidasTask | Self::AlidasSessions => "alidas",
            Self::DbbrainPrepare | Self::DbbrainKill | Self::DbbrainProcesses => "dbbrain",
            Self::TdsqlKill | Self::TdsqlFlow | Self::TdsqlProcesses | Self::TdsqlDetail => "tdsql",
        }
    }
}
