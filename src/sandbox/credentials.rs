//! Whom the simulated clouds know.

use std::fmt;

/// The one customer of the simulated Huawei Cloud.
#[derive(Clone, PartialEq, Eq)]
pub struct HuaweiCustomer {
    pub project_id: String,
    /// Also the name of the region's default project.
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    /// With temporary keys: every signed call must carry it, signed.
    pub security_token: Option<String>,
    pub domain: String,
    pub username: String,
    pub password: String,
}

impl fmt::Debug for HuaweiCustomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HuaweiCustomer")
            .field("project_id", &self.project_id)
            .field("region", &self.region)
            .field("domain", &self.domain)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The one customer of the simulated Alibaba Cloud.
#[derive(Clone, PartialEq, Eq)]
pub struct AlibabaCustomer {
    pub access_key_id: String,
    pub access_key_secret: String,
    /// With temporary keys: every call must carry it, signed.
    pub security_token: Option<String>,
}

impl fmt::Debug for AlibabaCustomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlibabaCustomer").finish_non_exhaustive()
    }
}

/// The one customer of the simulated Tencent Cloud.
#[derive(Clone, PartialEq, Eq)]
pub struct TencentCustomer {
    pub secret_id: String,
    pub secret_key: String,
    /// With temporary keys: every call must carry it.
    pub token: Option<String>,
}

impl fmt::Debug for TencentCustomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TencentCustomer").finish_non_exhaustive()
    }
}
