//! The ways of one gateway: the usual one, and those of sections that believe further authorities.

use std::{collections::HashMap, sync::Arc};

use super::Transport;

/// Transports by the authorities that they believe beside the usual ones.
#[derive(Debug, Clone)]
pub struct Ways {
    usual: Transport,
    by_authorities: HashMap<Arc<[u8]>, Transport>,
}

impl Ways {
    #[must_use]
    pub fn new(usual: Transport) -> Self {
        Self { usual, by_authorities: HashMap::new() }
    }

    /// Has what believes these authorities, as PEM, take that way.
    pub fn add(&mut self, authorities: Vec<u8>, transport: Transport) {
        self.by_authorities.insert(authorities.into(), transport);
    }

    /// The way of whoever believes these authorities; the usual one where they are none, or were never added.
    #[must_use]
    pub fn of(&self, authorities: Option<&[u8]>) -> &Transport {
        authorities.and_then(|authorities| self.by_authorities.get(authorities)).unwrap_or(&self.usual)
    }
}
