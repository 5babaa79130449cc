//! What all products of one cloud share: how it says no, and how it lists.

pub(in crate::upstream) mod huawei;
pub(in crate::upstream) mod tencent;
