//! Which generation of the gateway answers: a new configuration makes another one, and requests under way keep theirs.

use std::{
    future::{Ready, ready},
    ops::Deref,
    sync::Arc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use tokio::sync::watch;

use super::{login::HowToLogIn, problem::Failure};
use crate::{
    auth::Auth,
    domain::{Problem, ProblemCode},
    kill::Kills,
};

/// What requests are answered by from now on.
#[derive(Debug, Clone)]
pub struct Current {
    pub kills: Kills,
    pub auth: Auth,
    /// What is told to whoever has no token.
    pub login: Arc<HowToLogIn>,
}

/// What tells which generation that is.
pub(super) type Told = watch::Receiver<Current>;

/// The one that a request is answered by.
pub(super) fn of(request: &HttpRequest) -> Result<Current, Failure> {
    let told = request.app_data::<web::Data<Told>>().map(|told| told.borrow().clone());
    told.ok_or_else(|| Problem::new(ProblemCode::Internal, "the gateway is not set up").into())
}

/// The kills of that generation.
#[derive(Debug, Clone)]
pub(super) struct CurrentKills(Kills);

impl Deref for CurrentKills {
    type Target = Kills;

    fn deref(&self) -> &Kills {
        &self.0
    }
}

impl FromRequest for CurrentKills {
    type Error = Failure;
    type Future = Ready<Result<Self, Failure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(of(request).map(|current| Self(current.kills)))
    }
}
