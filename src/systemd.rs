//! Telling the service manager how it goes: `sd_notify(3)`, over the socket that `NOTIFY_SOCKET` names.
//!
//! Without that variable nothing is told to anybody. What cannot be told is not worth stopping for.

use std::{
    fmt, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// The manager's socket, where there is one, and how often it wants a sign of life.
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Half of `WATCHDOG_USEC`; `None` where no signs of life are wanted.
    pub beat: Option<Duration>,
}

impl Manager {
    /// As the environment has it: `NOTIFY_SOCKET`, a path or `@` and a name, and `WATCHDOG_USEC`.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let socket = variable("NOTIFY_SOCKET").and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                None
            }
        });
        let micros = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        let beat = micros.filter(|_| socket.is_some()).map(|micros: u64| Duration::from_micros(micros / 2));
        Self { socket, beat }
    }

    /// It serves, or serves again.
    pub fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// It reads its configuration again; [`ready`](Self::ready) follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=reading the configuration again");
    }

    /// It stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// It lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("is_there", &self.socket.is_some()).field("beat", &self.beat).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_is_told_what_is_so_and_nobody_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "3000000")];
        let variable = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        let told = Manager::of(variable);
        assert_eq!(told.beat, Some(Duration::from_millis(1500)));
        let heard = || {
            let mut text = [0; 100];
            let length = manager.recv(&mut text).unwrap();
            String::from_utf8(text[..length].to_vec()).unwrap()
        };
        for (tell, first) in [
            (Manager::ready as fn(&Manager), "READY=1"),
            (Manager::reloading, "RELOADING=1"),
            (Manager::stopping, "STOPPING=1"),
            (Manager::alive, "WATCHDOG=1"),
        ] {
            tell(&told);
            assert_eq!(heard().lines().next(), Some(first));
        }
        let nobody = Manager::of(|_| None);
        nobody.ready();
        assert_eq!(nobody.beat, None);
    }
}
