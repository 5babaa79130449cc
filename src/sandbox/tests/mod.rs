mod alibaba;
mod client;
mod control;
mod das;
mod dasrds;
mod dbbrain;
mod gaussdb;
mod huawei_access;
mod misbehaviour;
mod taurusdb;
mod temporary;
mod tencent;

use client::{Ask, Got};

use super::*;

/// A demo world on a free port.
fn demo_world() -> Sandbox {
    Sandbox::start(([127, 0, 0, 1], 0).into(), Clouds::demo()).unwrap()
}
